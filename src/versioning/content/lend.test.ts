import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { MIB } from '../../kernel/index.ts'
import type { StagedContent } from '../content-store.ts'
import { type FileLayer, nodeFiles } from './files.ts'
import type { Content } from './index.ts'
import { StoreFolder, store } from './testing/open-store.ts'

describe('content that is lent', () => {
  const body = randomBytes(9 * MIB + 17)
  let folder: StoreFolder
  let content: Content
  let staged: StagedContent
  before(async () => {
    folder = await StoreFolder.make()
    content = await folder.open()
    staged = await store(content, body)
    await folder.publish(content, staged)
  })
  after(async () => {
    await content.close()
    await folder.remove()
  })

  it('is what was stored, whole and in ranges', async () => {
    for (const { start, end } of [
      { start: 0, end: body.length },
      { start: 5, end: 6 },
      { start: MIB - 1, end: 3 * MIB + 1 },
    ]) {
      const pieces: Buffer[] = []
      for await (const piece of content.lend(staged.content, { start, end })) pieces.push(Buffer.from(piece))
      assert.ok(Buffer.concat(pieces).equals(body.subarray(start, end)))
    }
  })

  it('stays as it is until the next piece is asked for, whoever else reads meanwhile', async () => {
    let at = 0
    for await (const piece of content.lend(staged.content)) {
      for (let i = 0; i < 3; i++) await content.readBytes(staged.content, { start: i * MIB, end: (i + 1) * MIB })
      assert.ok(piece.equals(body.subarray(at, at + piece.length)))
      at += piece.length
    }
    assert.equal(at, body.length)
  })

  it('stays as it is for good where the reader left: it may still be on its way', async () => {
    const held: Buffer[] = []
    for (let i = 0; i < 3; i++) {
      for await (const piece of content.lend(staged.content)) {
        held.push(piece)
        break
      }
    }
    for await (const piece of content.lend(staged.content, { start: 4 * MIB, end: body.length }))
      assert.ok(piece.length > 0)
    for (const piece of held) assert.ok(piece.equals(body.subarray(0, piece.length)))
  })

  it('uses the same memory again and again', async () => {
    const memories = new Set<ArrayBufferLike>()
    let pieces = 0
    for (let i = 0; i < 10; i++) {
      for await (const piece of content.lend(staged.content, { start: 0, end: 9 * MIB })) {
        memories.add(piece.buffer)
        pieces++
      }
    }
    // How many are read ahead depends on how long they are, and that on the content.
    assert.ok(memories.size * 4 < pieces, `${memories.size} buffers for ${pieces} pieces`)
  })
})

describe('an object of very small parts', () => {
  it('is read a few of them ahead, not all at once', async () => {
    const folder = await StoreFolder.make()
    let reads = 0
    const files: FileLayer = {
      ...nodeFiles,
      open: async (path, mode) => {
        const file = await nodeFiles.open(path, mode)
        return {
          write: (buffers, position) => file.write(buffers, position),
          read: (into, position) => {
            reads++
            return file.read(into, position)
          },
          datasync: () => file.datasync(),
          truncate: (length) => file.truncate(length),
          size: () => file.size(),
          close: () => file.close(),
        }
      },
    }
    const content = await folder.open({ files })
    try {
      const staged = await Promise.all(Array.from({ length: 500 }, () => content.putBytes(randomBytes(600))))
      const parts = staged.map(({ content: part }, i) => ({
        number: i + 1,
        size: 600,
        md5: '00'.repeat(16),
        content: part,
      }))
      const whole = await content.manifestOfParts(parts)
      await folder.publish(content, ...staged, whole)
      const reader = content.lend(whole.content)[Symbol.asyncIterator]()
      assert.equal((await reader.next()).value?.length, 600)
      await reader.return?.()
      assert.ok(reads > 1 && reads < 30, `${reads} reads for the first part`)
      let bytes = 0
      for await (const piece of content.lend(whole.content)) bytes += piece.length
      assert.equal(bytes, 500 * 600)
    } finally {
      await content.close()
      await folder.remove()
    }
  })
})

describe('many small reads at once', () => {
  it('give each its bytes, and fail alone where bytes have changed', async () => {
    const folder = await StoreFolder.make()
    const content = await folder.open()
    try {
      const bodies = Array.from({ length: 100 }, (_, n) => randomBytes(600 + n * 37))
      const staged = await Promise.all(bodies.map((bytes) => content.putBytes(bytes)))
      await folder.publish(content, ...staged)
      const [pack] = await folder.packFiles()
      const place = staged[40]?.chunks[0]
      assert.ok(pack !== undefined && place)
      await folder.damage(pack, (bytes) => {
        bytes[place.offset] = (bytes[place.offset] ?? 0) ^ 1
        return bytes
      })
      for (let round = 0; round < 3; round++) {
        const reads = await Promise.allSettled(staged.map((one) => content.readBytes(one.content)))
        for (const [index, read] of reads.entries()) {
          if (index === 40)
            assert.equal(read.status === 'rejected' && (read.reason as { code: string }).code, 'Corrupt')
          else assert.ok(read.status === 'fulfilled' && read.value.equals(bodies[index]!))
        }
      }
    } finally {
      await content.close()
      await folder.remove()
    }
  })
})
