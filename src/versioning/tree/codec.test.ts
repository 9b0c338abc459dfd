import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Attributes, ChecksumAlgorithm, CommitId, Content, Entry } from '../model/index.ts'
import { decodeEntry, decodeLeaf, encodeEntry, encodeLeaf } from './codec.ts'
import { entryOf, someCommit } from './fixtures.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits, maxLength: digits })
const bytes = (most: number, least = 0) =>
  fc.uint8Array({ minLength: least, maxLength: most }).map((array) => Buffer.from(array))
const content: fc.Arbitrary<Content> = fc.oneof(
  bytes(512).map((inline) => ({ kind: 'inline' as const, bytes: inline })),
  bytes(32, 32).map((sha256) => ({ kind: 'chunk' as const, sha256 })),
  bytes(32, 32).map((sha256) => ({ kind: 'manifest' as const, sha256 })),
)
const metadata = fc
  .array(fc.tuple(fc.oneof(text, fc.constant('__proto__')), text), { maxLength: 5 })
  .map((pairs): Attributes['metadata'] => Object.assign(Object.create(null), Object.fromEntries(pairs)))
const someEntry = fc.record(
  {
    size: fc.maxSafeNat(),
    etag: fc.oneof(
      hex(32),
      fc.tuple(hex(32), fc.nat(10_000)).map(([md5, parts]) => `${md5}-${parts}`),
      text,
    ),
    content,
    modifiedMs: fc.maxSafeNat(),
    attributes: fc.record(
      {
        metadata,
        contentType: text,
        cacheControl: text,
        contentDisposition: text,
        contentEncoding: text,
        contentLanguage: text,
        expires: text,
      },
      { requiredKeys: ['metadata'] },
    ),
    checksum: fc.record({
      algorithm: fc.constantFrom<ChecksumAlgorithm>('CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'),
      type: fc.constantFrom('FULL_OBJECT' as const, 'COMPOSITE' as const),
      value: text,
    }),
    parts: fc.nat(10_000),
    origin: fc.record({ job: hex(32), datum: fc.oneof(hex(64), hex(63), text) }),
  },
  { requiredKeys: ['size', 'etag', 'content', 'modifiedMs', 'attributes'] },
) as fc.Arbitrary<Entry>

describe('the entry codec', () => {
  it('gives back every entry as it was', () => {
    fc.assert(
      fc.property(someEntry, (entry) => {
        const back = decodeEntry(encodeEntry(entry))
        // Prototypes differ on purpose: what is read back has none.
        assert.deepEqual(structuredClone(back), structuredClone(entry))
      }),
    )
  })

  it('gives equal entries equal bytes, in whatever order their metadata came', () => {
    const one = encodeEntry(entryOf({ attributes: { metadata: { a: '1', b: '2' } } }))
    const other = encodeEntry(entryOf({ attributes: { metadata: { b: '2', a: '1' } } }))
    assert.deepEqual(one, other)
  })

  it('keeps a metadata field named __proto__ as a field', () => {
    const metadata = Object.assign(Object.create(null), JSON.parse('{"__proto__":"x"}'))
    const back = decodeEntry(encodeEntry(entryOf({ attributes: { metadata } }))).attributes.metadata
    assert.deepEqual(Object.keys(back), ['__proto__'])
    assert.equal(Object.getPrototypeOf(back), null)
  })

  it('puts path and version in their place in a leaf', () => {
    fc.assert(
      fc.property(hex(32), fc.maxSafeNat(), someEntry, (commit, seq, entry) => {
        const version = { commit: commit as CommitId, seq }
        const file = decodeLeaf(Buffer.from('dir/é'), encodeLeaf(version, encodeEntry(entry)))
        const { path, version: back, ...rest } = file
        assert.equal(path, 'dir/é')
        assert.deepEqual(back, version)
        assert.deepEqual(structuredClone(rest), structuredClone(entry))
      }),
    )
  })

  it('reads and writes what the first release wrote', () => {
    const entry = entryOf({
      etag: '900150983cd24fb0d6963f7d28e17f72-2',
      attributes: { contentType: 'text/plain', expires: '0', metadata: { b: '2', a: '1' } },
      checksum: { algorithm: 'SHA1', type: 'COMPOSITE', value: 'x-2' },
      parts: 2,
      origin: { job: someCommit, datum: 'not hex' },
    })
    const stored = [
      '0123456789abcdef0123456789abcdef ac02 01 3c 21 03 80d095ffbc31',
      '44 39303031353039383363643234666230643639363366376432386531376637322d32 03 616263',
      '0a 746578742f706c61696e 01 30 02 01 61 01 31 01 62 01 32',
      '07 03 782d32 02 21 0123456789abcdef0123456789abcdef 0e 6e6f7420686578',
    ].join('')
    const leaf = Buffer.from(stored.replaceAll(' ', ''), 'hex')
    assert.deepEqual(encodeLeaf({ commit: someCommit, seq: 300 }, encodeEntry(entry)), leaf)
    const { path, version, ...back } = decodeLeaf(Buffer.from('a'), leaf)
    assert.deepEqual([path, version], ['a', { commit: someCommit, seq: 300 }])
    assert.deepEqual(structuredClone(back), structuredClone(entry))
  })

  it('takes about ninety bytes for an ordinary object', () => {
    const sha256 = Buffer.alloc(32, 1)
    const entry = entryOf({
      content: { kind: 'chunk', sha256 },
      attributes: { contentType: 'image/png', metadata: {} },
    })
    assert.ok(encodeLeaf({ commit: someCommit, seq: 1 }, encodeEntry(entry)).length <= 92)
  })

  it('refuses bytes that were cut off, have something behind them, or are of an unknown format', () => {
    const whole = encodeLeaf(
      { commit: someCommit, seq: 1 },
      encodeEntry(entryOf({ checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'NSRBwg==' } })),
    )
    const corrupt = { code: 'Corrupt' }
    const key = Buffer.from('k')
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeLeaf(key, whole.subarray(0, length)), corrupt, `cut off at ${length}`)
    }
    assert.throws(() => decodeLeaf(key, Buffer.concat([whole, Buffer.alloc(1)])), corrupt)
    const later = Buffer.from(whole)
    later[17] = 2
    assert.throws(() => decodeLeaf(key, later), corrupt)
  })

  it('refuses numbers that are not whole, and a commit id that is none', () => {
    assert.throws(() => encodeEntry(entryOf({ modifiedMs: 1.5 })), RangeError)
    assert.throws(() => encodeEntry(entryOf({ size: -1 })), RangeError)
    assert.throws(() => encodeLeaf({ commit: 'abc' as CommitId, seq: 1 }, Buffer.alloc(0)), RangeError)
    assert.throws(() => encodeLeaf({ commit: `${'0'.repeat(31)}x` as CommitId, seq: 1 }, Buffer.alloc(0)), RangeError)
  })
})
