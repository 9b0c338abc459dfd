import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { MIB } from '../../kernel/index.ts'
import type { Content } from './index.ts'
import { faultyFiles } from './testing/faulty-files.ts'
import { readAll, StoreFolder, store } from './testing/open-store.ts'

describe('what is stored', () => {
  let folder: StoreFolder
  let content: Content
  before(async () => {
    folder = await StoreFolder.make()
    content = await folder.open()
  })
  after(async () => {
    await content.close()
    await folder.remove()
  })

  const kinds = new Map([
    [0, 'inline'],
    [1, 'inline'],
    [511, 'inline'],
    [512, 'inline'],
    [513, 'chunk'],
    [70_000, 'chunk'],
    [MIB - 1, 'chunk'],
    [MIB, 'chunk'],
    [MIB + 1, 'chunk or manifest'],
    [5 * MIB + 3, 'manifest'],
  ])
  for (const [size, kind] of kinds) {
    it(`comes back byte for byte: ${size} bytes, ${kind}`, async () => {
      const body = randomBytes(size)
      const staged = await store(content, body)
      await folder.publish(content, staged)
      assert.equal(staged.size, size)
      assert.ok(kind.split(' or ').includes(staged.content.kind), staged.content.kind)
      assert.deepEqual(await readAll(content, staged), body)
      if (size <= MIB) {
        assert.deepEqual((await content.putBytes(body)).content, staged.content)
        assert.deepEqual(await content.readBytes(staged.content), body)
      }
    })
  }

  it('comes back in ranges, however they lie over the pieces', async () => {
    const body = randomBytes(5 * MIB + 3)
    const staged = await store(content, body)
    await folder.publish(content, staged)
    const edges = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB, 5 * MIB + 2, 5 * MIB + 3, 6 * MIB]
    for (const start of edges) {
      for (const end of edges.filter((edge) => edge > start)) {
        const expected = body.subarray(start, end)
        assert.ok((await readAll(content, staged, { start, end })).equals(expected), `${start} to ${end}`)
        if (expected.length > MIB) continue
        assert.ok((await content.readBytes(staged.content, { start, end })).equals(expected), `${start} to ${end}`)
      }
    }
    await assert.rejects(content.readBytes(staged.content), { code: 'InvalidInput' })
  })

  it('keeps nothing of the caller’s buffers', async () => {
    const bytes = Buffer.alloc(300, 1)
    const small = await content.putBytes(bytes)
    const writer = content.writer()
    const piece = Buffer.alloc(1000, 2)
    await writer.write(piece)
    bytes.fill(9)
    piece.fill(9)
    const large = await writer.finish()
    await folder.publish(content, large)
    assert.deepEqual(await readAll(content, small), Buffer.alloc(300, 1))
    assert.deepEqual(await readAll(content, large), Buffer.alloc(1000, 2))
  })

  it('refuses more than one chunk in putBytes', async () => {
    await assert.rejects(content.putBytes(Buffer.alloc(MIB + 1)), { code: 'InvalidInput' })
  })

  it('refuses to read a chunk of more than 1 MiB at once, whole', async () => {
    const staged = await store(content, Buffer.alloc(3 * MIB, 1))
    assert.equal(staged.content.kind, 'chunk')
    await folder.publish(content, staged)
    await assert.rejects(content.readBytes(staged.content), { code: 'InvalidInput' })
    assert.deepEqual(await content.readBytes(staged.content, { start: 2 * MIB, end: 2 * MIB + 3 }), Buffer.alloc(3, 1))
  })

  it('may come in one piece of any size, or byte by byte', async () => {
    const body = randomBytes(3 * MIB + 7)
    const writer = content.writer()
    await writer.write(body)
    const staged = await writer.finish()
    await folder.publish(content, staged)
    assert.deepEqual(await readAll(content, staged), body)
    const slow = content.writer()
    for (const byte of body.subarray(0, 2000)) await slow.write(Buffer.from([byte]))
    const small = await slow.finish()
    await folder.publish(content, small)
    assert.deepEqual(await readAll(content, small), body.subarray(0, 2000))
  })

  it('is not found before it is published', async () => {
    const staged = await content.putBytes(randomBytes(5000))
    await assert.rejects(content.readBytes(staged.content), { code: 'Corrupt' })
    await assert.rejects(readAll(content, staged), { code: 'Corrupt' })
  })

  it('is not published by a transaction that rolls back', async () => {
    const body = randomBytes(5000)
    const staged = await content.putBytes(body)
    const failing = folder.db.write(async (tx) => {
      await content.publish(tx, staged.chunks)
      throw new Error('no')
    })
    await assert.rejects(failing, /no/)
    await assert.rejects(content.readBytes(staged.content), { code: 'Corrupt' })
    assert.equal((await content.putBytes(body)).chunks.length, 1)
  })
})

const names = (hashes: readonly Buffer[]) => hashes.map((sha256) => sha256.toString('hex')).toSorted()

describe('the same content', () => {
  let folder: StoreFolder
  let content: Content
  beforeEach(async () => {
    folder = await StoreFolder.make()
    content = await folder.open()
  })
  afterEach(async () => {
    await content.close()
    await folder.remove()
  })

  it('is not written again once it is published, also after a restart', async () => {
    const body = randomBytes(6 * MIB + 5)
    const first = await store(content, body)
    assert.deepEqual(first.relies, [])
    await folder.publish(content, first)
    for (let restart = 0; restart < 2; restart++) {
      const again = await store(content, body)
      assert.deepEqual(again.content, first.content)
      assert.deepEqual(again.chunks, [])
      assert.deepEqual(
        names(again.relies),
        names(first.chunks.map(({ sha256 }) => sha256)),
        'it says what it relies on',
      )
      await content.close()
      content = await folder.open()
    }
    const longer = await store(content, Buffer.concat([body, randomBytes(10)]))
    assert.equal(longer.chunks.length, 2, 'the last chunk and the manifest')
    const told = [...longer.relies, ...longer.chunks.map(({ sha256 }) => sha256)]
    assert.equal(names(told).length, first.chunks.length)
  })

  it('is written once where one body repeats a piece', async () => {
    const body = Buffer.alloc(12 * MIB, 7)
    const staged = await store(content, body)
    assert.equal(staged.chunks.length, 2, 'one of 4 MiB, and the manifest')
    await folder.publish(content, staged)
    assert.deepEqual(await readAll(content, staged), body)
    const again = await store(content, body)
    assert.equal(again.relies.length, 2, 'each once')
  })

  it('may be written twice at once; either copy serves', async () => {
    const body = randomBytes(2000)
    const [one, two] = await Promise.all([content.putBytes(body), content.putBytes(body)])
    assert.deepEqual([one.chunks.length, two.chunks.length], [1, 1])
    await folder.publish(content, two)
    await folder.publish(content, two, one)
    assert.deepEqual(await content.readBytes(one.content), body)
    const rows = await folder.db.all<{ offset: number }>('SELECT "offset" FROM chunk')
    assert.deepEqual(
      rows.map(({ offset }) => offset),
      [two.chunks[0]?.offset],
    )
    // The copy that was not published is nobody's: reads must not depend on it.
    const [path] = await folder.packFiles()
    await folder.damage(path!, (bytes) => bytes.fill(0, one.chunks[0]!.offset, one.chunks[0]!.offset + 2000))
    assert.deepEqual(await content.readBytes(one.content), body)
  })
})

describe('packs', () => {
  let folder: StoreFolder
  let content: Content
  before(async () => {
    folder = await StoreFolder.make()
  })
  afterEach(() => content.close())
  after(() => folder.remove())

  it('take what queues up in one flush', async () => {
    const files = faultyFiles()
    content = await folder.open({ files })
    await content.putBytes(randomBytes(1000))
    const [datasyncs, writes] = [files.calls.datasync, files.calls.write]
    await Promise.all(Array.from({ length: 400 }, () => content.putBytes(randomBytes(1000))))
    assert.ok(files.calls.datasync - datasyncs <= 4, `${files.calls.datasync - datasyncs} flushes`)
    assert.ok(files.calls.write - writes <= 4, `${files.calls.write - writes} writes`)
  })

  it('are sealed when they are large, and all stay readable', async () => {
    content = await folder.open({ limits: { packBytes: 20_000, openPacks: 2 } })
    const bodies = Array.from({ length: 40 }, () => randomBytes(3000))
    const staged = []
    for (const body of bodies) staged.push(await content.putBytes(body))
    await folder.publish(content, ...staged)
    const rows = await folder.packRows()
    assert.ok(rows.length >= 6)
    const read = await Promise.all(staged.map(({ content: ref }) => content.readBytes(ref)))
    assert.deepEqual(read, bodies)
    await content.close()
    content = await folder.open()
    assert.equal((await folder.packRows()).filter(({ state }) => state === 'open').length, 1)
    assert.deepEqual(await content.readBytes(staged[0]!.content), bodies[0])
  })

  it('of one large upload hold it in order, and are sealed when it is published', async () => {
    content = await folder.open({ limits: { ownPackBytes: 4 * MIB, flushEveryBytes: 2 * MIB } })
    const body = randomBytes(9 * MIB + 1)
    const staged = await store(content, body)
    const pack = staged.chunks[0]?.pack
    assert.ok(staged.chunks.every((chunk) => chunk.pack === pack))
    const offsets = staged.chunks.map(({ offset }) => offset)
    assert.deepEqual(
      offsets,
      offsets.toSorted((a, b) => a - b),
    )
    assert.equal((await folder.packRows()).at(-1)?.state, 'open')
    await folder.publish(content, staged)
    assert.equal((await folder.packRows()).at(-1)?.state, 'sealed')
    assert.deepEqual(await readAll(content, staged), body)
  })

  it('have names that say nothing of their content', async () => {
    content = await folder.open()
    await content.putBytes(randomBytes(1000))
    for (const path of await folder.packFiles()) assert.match(path, /\/packs\/([0-9a-f]{2})\/\1[0-9a-f]{30}\.pack$/)
  })

  it('begin with a header and self-describing records', async () => {
    content = await folder.open()
    const body = randomBytes(1000)
    const { chunks } = await content.putBytes(body)
    const row = await folder.db.get<{ name: string }>('SELECT name FROM pack WHERE id = ?', [chunks[0]!.pack])
    const path = (await folder.packFiles()).find((name) => name.includes(row!.name))
    const bytes = await readFile(path!)
    const { offset } = chunks[0]!
    assert.equal(bytes.toString('latin1', 0, 8), 'SluicePk')
    assert.equal(bytes.toString('latin1', offset - 48, offset - 44), 'SlRc')
    assert.equal(bytes.readUInt32LE(offset - 40), 1000)
    assert.deepEqual(bytes.subarray(offset - 36, offset - 4), hash('sha256', body, 'buffer'))
    assert.deepEqual(bytes.subarray(offset, offset + 1000), body)
  })
})

describe('multipart content', () => {
  let folder: StoreFolder
  let content: Content
  before(async () => {
    folder = await StoreFolder.make()
    content = await folder.open()
  })
  after(async () => {
    await content.close()
    await folder.remove()
  })

  it('refers to its parts, reads as one, and tells them apart', async () => {
    const bodies = [randomBytes(2 * MIB + 1), randomBytes(700_000), randomBytes(100)]
    const staged = []
    for (const body of bodies) staged.push(await store(content, body))
    await folder.publish(content, ...staged)
    const parts = staged.map((part, i) => ({
      number: 2 * i + 1,
      size: part.size,
      md5: randomBytes(16).toString('hex'),
      ...(i === 1 && { checksum: 'AAAA=' }),
      content: part.content,
    }))
    const whole = await content.manifestOfParts(parts)
    assert.equal(whole.chunks.length, 1)
    await folder.publish(content, whole)
    const body = Buffer.concat(bodies)
    assert.deepEqual(await readAll(content, whole), body)
    const range = { start: 2 * MIB, end: 2 * MIB + 700_050 }
    assert.deepEqual(await readAll(content, whole, range), body.subarray(range.start, range.end))
    assert.deepEqual(
      await content.parts(whole.content),
      parts.map(({ content: _, ...part }) => part),
    )
    assert.equal(await content.parts(staged[0]!.content), undefined)
    assert.equal(await content.parts(staged[2]!.content), undefined)
    assert.deepEqual((await content.manifestOfParts(parts)).chunks, [])
  })

  it('takes 10,000 parts with checksums', async () => {
    const part = await store(content, randomBytes(600))
    await folder.publish(content, part)
    const parts = Array.from({ length: 10_000 }, (_, i) => ({
      number: i + 1,
      size: 600,
      md5: 'ab'.repeat(16),
      checksum: `${'x'.repeat(43)}=`,
      content: part.content,
    }))
    const whole = await content.manifestOfParts(parts)
    await folder.publish(content, whole)
    assert.equal(whole.size, 6_000_000)
    assert.equal((await content.parts(whole.content))?.length, 10_000)
    assert.equal((await content.readBytes(whole.content, { start: 5_999_400, end: 6_000_000 })).length, 600)
  })

  it('takes parts that stand inline', async () => {
    const inline = await content.putBytes(Buffer.from('abc'))
    const whole = await content.manifestOfParts([
      { number: 1, size: 3, md5: '00'.repeat(16), content: inline.content },
      { number: 2, size: 0, md5: '00'.repeat(16), content: (await content.putBytes(Buffer.alloc(0))).content },
      { number: 3, size: 3, md5: '00'.repeat(16), content: inline.content },
    ])
    await folder.publish(content, whole)
    assert.equal((await readAll(content, whole)).toString(), 'abcabc')
  })
})

describe('a body of very many pieces', () => {
  it('is a tree of manifests, and reads the same', async () => {
    const folder = await StoreFolder.make()
    const content = await folder.open({ limits: { chunkBytes: 1000, manifestEntries: 4, cachedManifestBytes: 300 } })
    const body = randomBytes(123_456)
    const staged = await store(content, body)
    await folder.publish(content, staged)
    assert.deepEqual(await readAll(content, staged), body)
    for (const [start, end] of [
      [0, 1],
      [3999, 4001],
      [15_999, 16_001],
      [63_500, 123_456],
    ] as const) {
      assert.deepEqual(await readAll(content, staged, { start, end }), body.subarray(start, end))
    }
    await content.close()
    await folder.remove()
  })
})
