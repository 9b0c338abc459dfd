import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { combineCrc32c, crc32cBase64, crc32cHex, crc32cOf } from './crc32c.ts'

describe('CRC-32C', () => {
  it('is the one that all catalogues of CRCs give, written as Google writes it', () => {
    const crc = crc32cOf(Buffer.from('123456789'))
    assert.equal(crc32cHex(crc), 'e3069283')
    assert.equal(crc32cBase64(crc), '4waSgw==')
    assert.equal(crc32cHex(crc32cOf(Buffer.alloc(0))), '00000000')
  })

  it('of a whole follows from those of its pieces, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 6 }), (pieces) => {
        const buffers = pieces.map((piece) => Buffer.from(piece))
        const combined = buffers.reduce((crc, piece) => combineCrc32c(crc, crc32cOf(piece), piece.length), 0)
        assert.equal(combined, crc32cOf(Buffer.concat(buffers)))
      }),
    )
  })

  it('can be combined over more bytes than a 32-bit number counts', () => {
    // A run of zeros shifts what came before by its length: twice half of it is the same as the whole at once.
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 2 ** 42 }), (crc, half) => {
        const twice = combineCrc32c(combineCrc32c(crc, 0, half), 0, half)
        assert.equal(combineCrc32c(crc, 0, 2 * half), twice)
      }),
    )
  })
})
