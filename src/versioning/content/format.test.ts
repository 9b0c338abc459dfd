import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Corrupt, MAX_PARTS } from '../../kernel/index.ts'
import type { Content } from '../model/index.ts'
import { contentOf, encodeParts, Manifest, type Piece } from './manifest.ts'
import {
  fileHeader,
  isFileHeader,
  isWhole,
  RECORD_HEADER_BYTES,
  readRecordHeader,
  writeRecordHeader,
} from './record.ts'

const plain = { noNullPrototype: true } as const
const hashes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
const inlineBytes = fc.uint8Array({ maxLength: 512 }).map((bytes) => Buffer.from(bytes))
const contents: fc.Arbitrary<Content> = fc.oneof(
  fc.record({ kind: fc.constantFrom('chunk' as const, 'manifest' as const), sha256: hashes }, plain),
  fc.record({ kind: fc.constant('inline' as const), bytes: inlineBytes }, plain),
)
const sizes = fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: 2 ** 42 }))

describe('a manifest', () => {
  it('keeps parts and their contents exactly, sizes above 4 GiB too', () => {
    const part = fc.record(
      {
        number: fc.integer({ min: 1, max: MAX_PARTS }),
        size: sizes,
        md5: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex')),
        checksum: fc.base64String({ minLength: 4, maxLength: 48 }),
        content: contents,
      },
      { requiredKeys: ['number', 'size', 'md5', 'content'], noNullPrototype: true },
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        const manifest = new Manifest(encodeParts(parts))
        assert.deepEqual(
          manifest.parts(),
          parts.map(({ content: _, ...rest }) => rest),
        )
        let at = 0
        for (const [i, { size, content }] of parts.entries()) {
          assert.deepEqual(manifest.entry(i), { size, content })
          assert.equal(manifest.startOf(i), at)
          if (size > 0) assert.deepEqual([manifest.indexAt(at), manifest.indexAt(at + size - 1)], [i, i])
          at += size
        }
        assert.equal(manifest.size, at)
        assert.equal(manifest.indexAt(at), parts.length)
      }),
    )
  })

  it('of any number of pieces leads to all of them, in order', async () => {
    const pieces = fc.array(fc.record({ size: sizes, content: contents }, plain), { minLength: 1, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 2, max: 9 }), async (list, most) => {
        const stored = new Map<string, Buffer>()
        const top = await contentOf(list, most, async (data) => {
          const sha256 = randomBytes(32)
          stored.set(sha256.toString('hex'), data)
          return { kind: 'manifest', sha256 }
        })
        const walk = (piece: Piece): Piece[] => {
          const data = piece.content.kind === 'manifest' ? stored.get(piece.content.sha256.toString('hex')) : undefined
          if (!data) return [piece]
          const manifest = new Manifest(data)
          assert.ok(manifest.count <= most)
          assert.equal(manifest.size, piece.size)
          return Array.from({ length: manifest.count }, (_, i) => walk(manifest.entry(i))).flat()
        }
        const size = list.reduce((sum, piece) => sum + piece.size, 0)
        assert.deepEqual(walk({ size, content: top }), list)
      }),
    )
  })

  it('that is none, is cut or is of a later format is Corrupt, never anything else', () => {
    const sha256 = randomBytes(32)
    const whole = encodeParts([{ number: 1, size: 5, md5: 'ab'.repeat(16), content: { kind: 'chunk', sha256 } }])
    for (let length = 0; length < whole.length; length++)
      assert.throws(() => new Manifest(whole.subarray(0, length)), Corrupt)
    assert.throws(() => new Manifest(Buffer.from([2, 0, 0])), Corrupt)
    assert.throws(() => new Manifest(Buffer.from([1, 9, 0])), Corrupt)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new Manifest(Buffer.from([1, 1, ...bytes])).parts()
        } catch (error) {
          assert.ok(error instanceof Corrupt)
        }
      }),
    )
  })
})

describe('a record', () => {
  it('is recognised whole, and not with any one bit changed', () => {
    const data = randomBytes(40)
    const record = Buffer.alloc(RECORD_HEADER_BYTES + data.length)
    writeRecordHeader({ kind: 'manifest', sha256: randomBytes(32), data }, record, 0)
    data.copy(record, RECORD_HEADER_BYTES)
    const good = (bytes: Buffer) => {
      const header = readRecordHeader(bytes.subarray(0, RECORD_HEADER_BYTES))
      return (
        header?.length === 40 && isWhole(bytes.subarray(0, RECORD_HEADER_BYTES), bytes.subarray(RECORD_HEADER_BYTES))
      )
    }
    assert.equal(good(record), true)
    for (let bit = 0; bit < record.length * 8; bit++) {
      const changed = Buffer.from(record)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.equal(good(changed), false, `bit ${bit}`)
    }
  })

  it('follows a file header that is recognised the same way', () => {
    const header = fileHeader()
    assert.equal(isFileHeader(header), true)
    assert.equal(isFileHeader(header.subarray(0, 15)), false)
    for (let at = 0; at < header.length; at++) {
      const changed = Buffer.from(header)
      changed[at]! ^= 1
      assert.equal(isFileHeader(changed), false)
    }
  })
})
