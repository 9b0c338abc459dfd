import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { InvalidInput } from '../kernel/index.ts'
import type { FileEntry } from '../versioning/index.ts'
import { make, withMade } from './made.ts'
import { isData, manifestPieces } from './manifest.ts'
import { parseManifestGlob } from './manifest-glob.ts'
import type { SentContent } from './outgoing.ts'

const nothingElse: SentContent = {
  read: () => assert.fail('not made'),
  lend: () => assert.fail('not made'),
  readBytes: () => assert.fail('not made'),
}

async function* files(count: number): AsyncGenerator<FileEntry> {
  for (let i = 0; i < count; i++) yield { path: `part-${i}`, size: i + 1 } as unknown as FileEntry
}

const place = { bucket: 'bucket', prefix: 'out/' }

describe('the manifest of many files', () => {
  it('is made in pieces that stay small, and is one document', async () => {
    let text = ''
    for await (const piece of manifestPieces(files(5_000), { path: 'm' }, place)) {
      assert.ok(piece.length < 70_000)
      text += String(piece)
    }
    const { entries } = JSON.parse(text) as { entries: { url: string; meta: { content_length: number } }[] }
    assert.equal(entries.length, 5_000)
    assert.deepEqual(entries[4_999], {
      url: 's3://bucket/out/part-4999',
      mandatory: true,
      meta: { content_length: 5_000 },
    })
  })

  it('can be read from any place on, as parts are', async () => {
    const made = await make('m', 'application/json', () => manifestPieces(files(3_000), { path: 'm' }, place))
    const content = withMade(nothingElse, [made])
    const whole = await buffer(content.read(made.entry.content))
    assert.equal(whole.length, made.entry.size)
    assert.deepEqual(await content.readBytes(made.entry.content), whole)
    for (const [start, end] of [
      [0, 1],
      [65_000, 140_000],
      [whole.length - 1, whole.length],
    ] as const) {
      assert.deepEqual(await buffer(content.lend(made.entry.content, { start, end })), whole.subarray(start, end))
    }
    await assert.rejects(buffer(content.read(made.entry.content, { start: 0, end: whole.length + 1 })), /not the same/)
  })

  it('lists nothing but what readers of a folder see', () => {
    const seen = ['a', 'a/b.c', 'a/_x=1/b', 'x_', 'x.'].map((path) => isData({ path, size: 1 }))
    assert.deepEqual(new Set(seen), new Set([true]))
    const hidden = ['_a', '.a', 'a/_b', '_a/b', 'a/.b/c', '_SUCCESS'].map((path) => isData({ path, size: 1 }))
    assert.deepEqual(new Set(hidden), new Set([false]))
    assert.equal(isData({ path: 'a', size: 0 }), false)
  })
})

describe("a manifest's glob", () => {
  const takes = (pattern: string, path: string) => parseManifestGlob(pattern)(path)

  it('takes files and what is below folders', () => {
    assert.ok(takes('/', 'a/b'))
    assert.ok(takes('/orders', 'orders/2026/a'))
    assert.ok(takes('/orders/*', 'orders/2026/a'))
    assert.ok(takes('orders/*.csv', 'orders/a.csv'))
    assert.ok(!takes('/orders/*.csv', 'orders/a.json'))
    assert.ok(!takes('/orders/*', 'orders'))
    assert.ok(!takes('/*.csv', 'orders/a.csv'))
    assert.ok(takes('/**.csv', 'orders/2026/a.csv'))
    assert.ok(takes('/**/*.csv', 'a.csv'))
    assert.ok(takes('/part-?', 'part-1'))
    assert.ok(!takes('/part-?', 'part-/'))
  })

  it('refuses signs that mean nothing here', () => {
    for (const pattern of ['', '/{a,b}', '/[ab]', 'a'.repeat(2_000)]) {
      assert.throws(() => parseManifestGlob(pattern), InvalidInput)
    }
  })

  const regular: Readonly<Record<string, string>> = { '**/': '(?:[^]*/)?', '**': '[^]*', '*': '[^/]*', '?': '[^/]' }

  it('matches as the regular expression would', () => {
    const pattern = fc.stringMatching(/^[ab/*?]{1,8}$/).filter((text) => text.includes('**'))
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[ab/]{1,10}$/), (glob, path) => {
        const bare = glob.replace(/^\//, '')
        const source = bare.replace(/(?<=^|\/)\*\*\/|\*\*|\*|\?/g, (sign) => regular[sign]!)
        assert.equal(takes(glob, path), new RegExp(`^${source}$`).test(path))
      }),
      { numRuns: 2_000 },
    )
  })
})
