import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { Corrupt } from '../../kernel/index.ts'
import { recordBytes, writeRecord } from './records.ts'
import { ExternalSort } from './runs.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-sort-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

function record(number: number, key: string, value = `${number}`): Buffer {
  const item = { key: Buffer.from(key), size: number * 2 ** 33, value: Buffer.from(value) }
  const bytes = Buffer.alloc(recordBytes(item.key, item.value))
  writeRecord(bytes, 0, number, item)
  return bytes
}

async function sorted(sort: ExternalSort): Promise<[key: string, value: string, size: number][]> {
  const found: [string, string, number][] = []
  for await (const group of sort.sorted()) {
    for (const { item } of group) found.push([item.key.toString(), item.value.toString(), item.size])
  }
  return found
}

describe('ExternalSort', () => {
  it('gives every key once, in byte order, with the value of the greatest number, whatever has to be spilled and merged', async () => {
    const bounds = fc.record({ runBytes: fc.integer({ min: 30, max: 400 }), fanIn: fc.integer({ min: 2, max: 5 }) })
    // Few, so that many come more than once; U+FF5E and U+1F600 are ordered differently in UTF-16.
    const key = fc
      .array(fc.constantFrom('a', 'b', '～', '😀'), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join(''))
    const keys = fc.array(key, { maxLength: 60, size: 'max' })
    await fc.assert(
      fc.asyncProperty(bounds, keys, fc.boolean(), async (limits, names, backwards) => {
        const sort = new ExternalSort(folder, limits)
        const numbered = names.map((key, index) => ({ key, number: index + 1 }))
        // What is stored at once comes in any order; the number says what was later in the archive.
        for (const { key, number } of backwards ? numbered.toReversed() : numbered) await sort.add(record(number, key))
        const newest = new Map(numbered.map(({ key, number }) => [key, number]))
        const expected = [...newest]
          .map(([key, number]) => [key, `${number}`, number * 2 ** 33])
          .sort((a, b) => Buffer.compare(Buffer.from(a[0] as string), Buffer.from(b[0] as string)))
        assert.deepEqual(await sorted(sort), expected)
        await sort.close()
        assert.deepEqual(await readdir(folder), [], 'no file is left')
      }),
      { numRuns: 150 },
    )
  })

  it('keeps records that are longer than what is read at once', async () => {
    const sort = new ExternalSort(folder, { runBytes: 100_000, fanIn: 2 })
    const long = 'v'.repeat(60_000)
    for (let i = 0; i < 40; i++) await sort.add(record(i + 1, `key-${(i * 7) % 40}`, `${long}${i}`))
    const found = await sorted(sort)
    assert.equal(found.length, 40)
    assert.ok(found.every(([, value]) => value.startsWith(long)))
    await sort.close()
  })

  it('does not take a file that was cut for its end', async () => {
    const sort = new ExternalSort(folder, { runBytes: 100, fanIn: 4 })
    for (let i = 0; i < 20; i++) await sort.add(record(i + 1, `key-${i}`))
    const [first] = await readdir(folder)
    assert.equal((await stat(join(folder, first!))).mode & 0o777, 0o600, 'what is in it is for nobody else')
    await truncate(join(folder, first!), 50)
    await assert.rejects(sorted(sort), Corrupt)
    await sort.close()
  })
})
