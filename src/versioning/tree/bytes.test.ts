import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { afterPrefix, ByteReader, ByteWriter, startsWith } from './bytes.ts'

const someBytes = fc.array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { maxLength: 4 }).map((bytes) => Buffer.from(bytes))

describe('the end of a prefix', () => {
  it('lies after all that begins with it, and not after anything else that is greater', () => {
    fc.assert(
      fc.property(someBytes, someBytes, fc.boolean(), (prefix, bytes, behind) => {
        const other = behind ? Buffer.concat([prefix, bytes]) : bytes
        const end = afterPrefix(prefix)
        const below = end === undefined || other.compare(end) < 0
        assert.equal(startsWith(other, prefix), other.compare(prefix) >= 0 && below)
      }),
    )
  })
})

describe('numbers in bytes', () => {
  it('are read as they were written, up to the largest safe one', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), (numbers) => {
        const out = new ByteWriter(1)
        for (const number of [...numbers, Number.MAX_SAFE_INTEGER, 2 ** 31, 2 ** 32, 127, 128, 0]) out.varint(number)
        const input = new ByteReader(out.bytes.subarray(0, out.length))
        for (const number of [...numbers, Number.MAX_SAFE_INTEGER, 2 ** 31, 2 ** 32, 127, 128, 0]) {
          assert.equal(input.varint(), number)
        }
        assert.equal(input.at, out.length)
      }),
    )
  })

  it('are refused beyond that', () => {
    const corrupt = { code: 'Corrupt' }
    assert.throws(() => new ByteReader(Buffer.from('ffffffffffffff7f', 'hex')).varint(), corrupt)
    assert.throws(() => new ByteReader(Buffer.from('ffffffffffffffff01', 'hex')).varint(), corrupt)
    assert.throws(() => new ByteReader(Buffer.from('80', 'hex')).varint(), corrupt)
    assert.throws(() => new ByteWriter(1).varint(2 ** 53), RangeError)
  })
})
