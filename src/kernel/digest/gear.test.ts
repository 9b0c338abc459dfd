import assert from 'node:assert/strict'
import { createHash, hash } from 'node:crypto'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { KIB, MIB } from '../limits.ts'
import { type CutRule, cutShared, findCut, shutdownDigests, upTo } from './index.ts'

/** Bytes that look random and are the same in every run. */
function noise(seed: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(seed).digest()
}

const small: CutRule = { minBytes: 100, maxBytes: 2000, bits: 8 }
/** As the store's (see `ruleFor` in versioning/content). */
const large: CutRule = { minBytes: 512 * KIB, maxBytes: 4 * MIB, bits: 19 }

function cutAll(bytes: Buffer, rule: CutRule): number[] {
  const lengths: number[] = []
  for (let at = 0; at < bytes.length; at += lengths.at(-1) as number) {
    const cut = findCut([bytes.subarray(at, at + rule.maxBytes)], rule, { last: true })
    assert.ok(cut !== undefined && cut > 0)
    lengths.push(cut)
  }
  return lengths
}

/** The same, written as it is defined: a byte adds its number and what was before is shifted by one bit. */
function cutSlowly(bytes: Buffer, rule: CutRule): number {
  const numberOf = (byte: number) =>
    hash('sha512', `sluice gear ${byte >> 3}`, 'buffer').readBigUInt64LE((byte & 7) * 8)
  for (let length = rule.minBytes + 1; length <= Math.min(bytes.length, rule.maxBytes); length++) {
    let sum = 0n
    for (const byte of bytes.subarray(length - 64, length)) sum = BigInt.asUintN(64, (sum << 1n) + numberOf(byte))
    if (sum >> BigInt(64 - rule.bits) === 0n) return length
  }
  return Math.min(bytes.length, rule.maxBytes)
}

describe('cuts', () => {
  after(shutdownDigests)

  it('are where the definition says', () => {
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const bytes = noise(name, 2500)
      assert.equal(findCut([bytes], small, { last: true }), cutSlowly(bytes, small), name)
    }
  })

  it('are where they were in the first release that made them: stores keep them', () => {
    const lengths = cutAll(noise('kept', 8 * MIB), large)
    assert.deepEqual(lengths, [954_089, 840_471, 1_228_970, 1_497_817, 1_232_942, 818_690, 787_096, 1_028_533])
  })

  it('do not depend on how the bytes come, nor on how often it is asked', () => {
    const bytes = noise('split', 3000)
    const whole = findCut([bytes], small, { last: true }) as number
    const lengths = fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(lengths, (pieces) => {
        let scanned = 0
        const segments: Buffer[] = []
        for (const length of [...pieces, bytes.length]) {
          const from = segments.reduce((sum, segment) => sum + segment.length, 0)
          segments.push(bytes.subarray(from, from + length))
          const cut = findCut(segments, small, { scanned })
          if (cut !== undefined) return cut === whole
          scanned = from + (segments.at(-1)?.length ?? 0)
        }
        return false
      }),
    )
  })

  it('are the same in long bytes that are looked at two stretches at once, and in short ones', () => {
    const bytes = noise('stretches', 6 * MIB)
    const pieces = (length: number) =>
      Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) => bytes.subarray(i * length, (i + 1) * length))
    const rule = { minBytes: 64, maxBytes: bytes.length, bits: 15 }
    const half = 16 * KIB
    for (let hit = 0, last = 0; last + 100 * KIB < bytes.length; last = hit) {
      hit = findCut(pieces(5000), rule, { scanned: last, last: true }) as number
      assert.equal(findCut([bytes], rule, { scanned: last, last: true }), hit)
      assert.equal(findCut(pieces(30_001), rule, { scanned: last, last: true }), hit)
      // Wherever in the two stretches it is, and at their borders.
      for (const before of [0, 1, 63, 64, half - 1, half, half + 1, half + 63, half + 64, 2 * half]) {
        if (hit - before <= last) continue
        assert.equal(findCut([bytes], rule, { scanned: hit - before - 1, last: true }), hit, `${before}`)
      }
    }
  })

  it('come back behind an edit: what follows is cut as it was', () => {
    const before = noise('before', 100_000)
    const cutsOf = (bytes: Buffer) => {
      let left = bytes.length
      return new Set(
        cutAll(bytes, small).map((length) => {
          left -= length
          return left
        }),
      )
    }
    const old = cutsOf(before)
    for (const insert of [1, 63, 1000]) {
      const edited = cutsOf(Buffer.concat([before.subarray(0, 5000), noise('new', insert), before.subarray(5000)]))
      const lost = [...old].filter((fromEnd) => fromEnd < 90_000 && !edited.has(fromEnd))
      assert.deepEqual(lost, [], `${insert} bytes`)
    }
  })

  it('make chunks of 1 MiB on average, and none outside of the rule', () => {
    const bytes = Buffer.concat(Array.from({ length: 32 }, (_, i) => noise(`average ${i}`, 4 * MIB)))
    const lengths = cutAll(bytes, large)
    const average = bytes.length / lengths.length / MIB
    assert.ok(average > 0.9 && average < 1.1, `${average} MiB`)
    assert.ok(lengths.slice(0, -1).every((length) => length > large.minBytes && length <= large.maxBytes))
  })

  it('are at the longest length in bytes that are all alike', () => {
    assert.deepEqual(cutAll(Buffer.alloc(9 * MIB), large), [4 * MIB, 4 * MIB, MIB])
    assert.deepEqual(cutAll(Buffer.alloc(5 * MIB, 'ab'), large), [4 * MIB, MIB])
  })

  it('are not found before they are there, and at the end of what is the last', () => {
    const bytes = noise('short', 300)
    assert.equal(findCut([], small, { last: true }), undefined)
    assert.equal(findCut([bytes.subarray(0, 100)], small), undefined)
    assert.equal(findCut([bytes.subarray(0, 100)], small, { last: true }), 100)
  })

  it('are found by the workers as well, with the digests of what is before', async () => {
    const bytes = Buffer.from(new SharedArrayBuffer(3 * MIB))
    noise('shared', bytes.length).copy(bytes)
    const segments = [bytes.subarray(0, MIB + 5), bytes.subarray(MIB + 5)]
    const found = await cutShared(['sha256', 'crc32'], segments, large, { last: true })
    assert.equal(found?.bytes, findCut([bytes], large, { last: true }))
    const chunk = bytes.subarray(0, found?.bytes)
    assert.deepEqual((await found?.digests)?.sha256, hash('sha256', Buffer.from(chunk), 'buffer'))
    assert.equal(await cutShared(['sha256'], [bytes.subarray(0, 600 * KIB)], large), undefined)
  })

  it('give up clearly when the worker ends', async () => {
    const bytes = Buffer.from(new SharedArrayBuffer(4 * MIB))
    const asked = cutShared(['sha256'], [bytes], large, { last: true })
    const failed = assert.rejects(
      asked.then((found) => found?.digests),
      /worker/,
    )
    await shutdownDigests()
    await failed
  })
})

describe('the first bytes of segments', () => {
  it('are taken over their borders', () => {
    const segments = [Buffer.from('ab'), Buffer.from(''), Buffer.from('cde')]
    const texts = [0, 1, 2, 3, 5, 9].map((bytes) => Buffer.concat(upTo(segments, bytes)).toString())
    assert.deepEqual(texts, ['', 'a', 'ab', 'abc', 'abcde', 'abcde'])
  })
})
