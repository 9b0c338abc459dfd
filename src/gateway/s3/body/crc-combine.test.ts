import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { digestOnce } from '../../../kernel/index.ts'
import { crcCombiner } from './crc-combine.ts'

const names = { CRC32: 'crc32', CRC32C: 'crc32c', CRC64NVME: 'crc64nvme' } as const

describe('the CRC of an object from those of its parts', () => {
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
    it(`is the ${algorithm} of its bytes`, () => {
      const { combine } = crcCombiner(algorithm)
      const crc = (bytes: Uint8Array) => digestOnce([names[algorithm]], Buffer.from(bytes))[names[algorithm]]
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (first, second) => {
          const whole = Buffer.concat([first, second])
          assert.equal(combine(crc(first), crc(second), second.length).toString('hex'), crc(whole).toString('hex'))
        }),
        { numRuns: 30 },
      )
      const large = Buffer.alloc(5 * 1024 * 1024 + 3, 'x')
      assert.deepEqual(
        combine(crc(Buffer.from('a')), crc(large), large.length),
        crc(Buffer.concat([Buffer.from('a'), large])),
      )
    })
  }
})
