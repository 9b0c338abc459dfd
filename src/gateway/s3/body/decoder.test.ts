import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AwsChunkedDecoder, type DecoderOptions } from './decoder.ts'
import { newChain } from './testing/chain.ts'

const key = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const now = new Date(Date.UTC(2013, 4, 24))
const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

interface Framing {
  readonly signed?: boolean
  readonly trailer?: readonly [name: string, value: string]
}

async function frame(chunks: readonly Buffer[], { signed, trailer }: Framing): Promise<Buffer> {
  const chain = signed ? await newChain(key, now) : undefined
  const parts: Buffer[] = []
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    const signature = chain ? `;chunk-signature=${chain.chunk(sha256(chunk))}` : ''
    parts.push(Buffer.from(`${chunk.length.toString(16)}${signature}\r\n`))
    if (chunk.length > 0) parts.push(chunk, Buffer.from('\r\n'))
  }
  if (trailer) {
    const [name, value] = trailer
    parts.push(Buffer.from(`${name}:${value}\r\n`))
    if (chain) parts.push(Buffer.from(`x-amz-trailer-signature:${chain.trailer(sha256(`${name}:${value}\n`))}\r\n`))
  }
  parts.push(Buffer.from('\r\n'))
  return Buffer.concat(parts)
}

async function decoderFor(bytes: number, { signed, trailer }: Framing, options: Partial<DecoderOptions> = {}) {
  return new AwsChunkedDecoder({
    decodedBytes: bytes,
    ...(signed ? { chain: await newChain(key, now) } : {}),
    ...(trailer ? { trailers: [trailer[0]] } : {}),
    ...options,
  })
}

function decode(decoder: AwsChunkedDecoder, framed: Buffer, sliceBytes = framed.length) {
  const pieces: Buffer[] = []
  for (let at = 0; at < framed.length; at += sliceBytes) {
    // Each slice is a buffer of its own, as a socket gives them.
    pieces.push(...decoder.push(Buffer.from(framed.subarray(at, at + sliceBytes))))
  }
  return { trailers: decoder.end(), content: Buffer.concat(pieces) }
}

const framings: readonly (readonly [string, Framing])[] = [
  ['signed chunks', { signed: true }],
  ['unsigned chunks', {}],
  ['signed chunks and a signed trailer', { signed: true, trailer: ['x-amz-checksum-crc32', 'AAAAAA=='] }],
  ['unsigned chunks and a trailer', { trailer: ['x-amz-checksum-crc32c', 'sOO8/Q=='] }],
]

describe('an aws-chunked body', () => {
  for (const [name, framing] of framings) {
    it(`with ${name} comes out as it went in, in slices of one byte and of any other size`, async () => {
      const chunks = [Buffer.alloc(8192, 'a'), Buffer.alloc(9000, 'b'), Buffer.from('the end')]
      const content = Buffer.concat(chunks)
      const framed = await frame(chunks, framing)
      for (const sliceBytes of [1, 2, 3, 7, 100, 4096, framed.length]) {
        const result = decode(await decoderFor(content.length, framing), framed, sliceBytes)
        assert.ok(result.content.equals(content))
        assert.deepEqual([...result.trailers], framing.trailer ? [framing.trailer] : [])
      }
    })

    it(`with ${name} may be empty`, async () => {
      const framed = await frame([], framing)
      assert.equal(decode(await decoderFor(0, framing), framed).content.length, 0)
    })

    it(`with ${name} is refused when it is cut off anywhere`, async () => {
      const framed = await frame([Buffer.from('hello')], framing)
      // The empty line at the very end is not missed by everybody.
      for (let length = 0; length < framed.length - 2; length++) {
        const decoder = await decoderFor(5, framing)
        assert.throws(() => decode(decoder, framed.subarray(0, length)), { name: 'S3Error' }, `cut at ${length}`)
      }
    })

    it(`with ${name} is refused when it is one byte longer or shorter than announced`, async () => {
      const framed = await frame([Buffer.from('hello')], framing)
      for (const bytes of [4, 6]) {
        const decoder = await decoderFor(bytes, framing)
        assert.throws(() => decode(decoder, framed), { code: 'IncompleteBody' })
      }
    })

    it(`with ${name} is refused when bytes follow it`, async () => {
      const framed = Buffer.concat([await frame([Buffer.from('hello')], framing), Buffer.from('x')])
      const decoder = await decoderFor(5, framing)
      assert.throws(() => decode(decoder, framed), { code: 'IncompleteBody' })
    })
  }

  it('with signatures is refused when any one bit of it is changed', async () => {
    const framing: Framing = { signed: true, trailer: ['x-amz-checksum-crc32', 'AAAAAA=='] }
    const framed = await frame([Buffer.from('hello')], framing)
    // The value of the checksum is compared with the content by the caller, its signature here; only the line ends are free.
    for (let at = 0; at < framed.length - 2; at++) {
      if (framed[at] === 0x0d) continue
      const changed = Buffer.from(framed)
      changed[at] = changed[at]! ^ 0x04
      const decoder = await decoderFor(5, framing)
      assert.throws(() => decode(decoder, changed), { name: 'S3Error' }, `changed at ${at}`)
    }
  })

  it('with signatures is refused when two chunks change places, or one is left out', async () => {
    const a = Buffer.alloc(8192, 'a')
    const b = Buffer.alloc(8192, 'b')
    const framed = await frame([a, b], { signed: true })
    const one = framed.indexOf('\r\n') + 2 + a.length + 2
    const swapped = Buffer.concat([framed.subarray(one, 2 * one), framed.subarray(0, one), framed.subarray(2 * one)])
    const swappedDecoder = await decoderFor(16_384, { signed: true })
    assert.throws(() => decode(swappedDecoder, swapped), { code: 'SignatureDoesNotMatch' })
    const shorterDecoder = await decoderFor(8192, { signed: true })
    assert.throws(() => decode(shorterDecoder, framed.subarray(one)), { code: 'SignatureDoesNotMatch' })
  })

  it('is not taken for signed when its chunks carry no signatures', async () => {
    const decoder = await decoderFor(5, { signed: true })
    const framed = await frame([Buffer.from('hello')], {})
    assert.throws(() => decode(decoder, framed), { code: 'InvalidChunkSizeError' })
  })

  it('is refused when a chunk before the last is smaller than 8 KiB', async () => {
    const framed = await frame([Buffer.alloc(8191), Buffer.alloc(1)], {})
    const decoder = await decoderFor(8192, {})
    assert.throws(() => decode(decoder, framed), { code: 'InvalidChunkSizeError' })
  })

  it('is refused for trailers that are missing, twice, not announced, malformed or endless', async () => {
    const trailer: Framing = { trailer: ['x-amz-checksum-crc32', 'AAAAAA=='] }
    const bodies = [
      '0\r\n\r\n',
      '0\r\nx-amz-checksum-crc32:a\r\nx-amz-checksum-crc32:a\r\n\r\n',
      '0\r\nx-amz-meta-a:b\r\n\r\n',
      '0\r\nnothing\r\n\r\n',
      `0\r\nx-amz-checksum-crc32:${'a'.repeat(5000)}\r\n\r\n`,
      `0\r\n${'x-amz-checksum-crc32:a\r\n'.repeat(50)}`,
    ]
    for (const body of bodies) {
      const decoder = await decoderFor(0, trailer)
      assert.throws(() => decode(decoder, Buffer.from(body)), { code: 'MalformedTrailerError' }, body)
    }
  })

  it('is refused for a head that never ends, and for sizes that are none', async () => {
    for (const body of [
      '1'.repeat(1000),
      '-1\r\n',
      'g\r\n',
      '\r\n',
      '5 \r\n',
      '0x5\r\nhello\r\n',
      '5;a=b\r\nhello\r\n',
      '5\nhello\r\n',
    ]) {
      const decoder = await decoderFor(5, {})
      assert.throws(() => decode(decoder, Buffer.from(body)), { code: 'InvalidChunkSizeError' }, body)
    }
  })

  it('never makes the decoder throw anything but an S3Error, or give out more than was announced', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '5\r\n',
        'hello',
        '\r\n',
        '0\r\n',
        'x-amz-checksum-crc32:a\r\n',
        'ffffffffffffffff\r\n',
        '2001\r\n',
      ),
      fc.string({ maxLength: 10 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.integer({ min: 1, max: 9 }), (pieces, sliceBytes) => {
        const decoder = new AwsChunkedDecoder({ decodedBytes: 10, trailers: ['x-amz-checksum-crc32'] })
        const body = Buffer.from(pieces.join(''))
        let out = 0
        try {
          for (let at = 0; at < body.length; at += sliceBytes) {
            for (const content of decoder.push(body.subarray(at, at + sliceBytes))) out += content.length
          }
          decoder.end()
          assert.equal(out, 10)
        } catch (error) {
          assert.equal((error as Error).name, 'S3Error')
        }
        assert.ok(out <= 10)
      }),
    )
  })
})
