import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { KIB } from '../../kernel/index.ts'
import { ReadBatches, type WantedBytes } from './read-batches.ts'

describe('reads that go together', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-reads-'))
  const content = randomBytes(2048 * KIB)
  let fd = 0
  before(() => {
    writeFileSync(join(folder, 'pack'), content)
    fd = openSync(join(folder, 'pack'), 'r')
  })
  after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })

  const wanted = (offset: number, length: number): WantedBytes => {
    return { fd, offset, length, sha256: hash('sha256', content.subarray(offset, offset + length), 'buffer') }
  }
  const readAll = (reads: ReadBatches, all: readonly WantedBytes[]) => Promise.all(all.map((one) => reads.read(one)))

  it('give each its own bytes, also when there are more than fit into one batch', async () => {
    const reads = new ReadBatches()
    try {
      // Until the disk is slow, which any machine can be; then nothing is answered, and that is allowed.
      let answered = 0
      for (let round = 0; round < 200 && answered < 300; round++) {
        const all = Array.from({ length: 300 }, (_, n) => wanted(n * 5000, 1 + ((n * 977) % (60 * KIB))))
        for (const [index, bytes] of (await readAll(reads, all)).entries()) {
          if (!bytes) continue
          answered++
          const { offset, length } = all[index]!
          assert.ok(bytes.equals(content.subarray(offset, offset + length)))
        }
      }
      assert.ok(answered >= 300)
    } finally {
      await reads.close()
    }
  })

  it('leave to the caller what is not as it should be, and answer the others', async () => {
    const reads = new ReadBatches()
    try {
      const good = wanted(0, 1000)
      const changed = { ...good, sha256: Buffer.alloc(32) }
      const cutShort = { ...good, offset: content.length - 10 }
      const noFile = { ...good, fd: 1_000_000 }
      const some = await readAll(reads, [good, changed, cutShort, noFile, good])
      assert.deepEqual(some.slice(1, 4), [undefined, undefined, undefined])
    } finally {
      await reads.close()
    }
  })

  it('leave to the caller a lone read, a large one, and all that comes after the end', async () => {
    const reads = new ReadBatches()
    assert.equal(await reads.read(wanted(0, 10)), undefined)
    assert.equal(reads.read(wanted(0, 512 * KIB)), undefined)
    const late = readAll(
      reads,
      Array.from({ length: 10 }, (_, n) => wanted(n, 10)),
    )
    await reads.close()
    assert.equal((await late).length, 10, 'what was under way is answered in any case')
    assert.equal(reads.read(wanted(0, 10)), undefined)
  })
})
