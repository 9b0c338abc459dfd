import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { residentSet, serverToMeasure } from './memory-server.ts'

const MIB = 1024 * 1024
/** 4 GiB go in and out in the continuous run: half of them by one PUT, half by parts. */
const TOTAL_BYTES = process.env['FAULTS'] === 'full' ? 4096 * MIB : 256 * MIB
const PART_BYTES = 8 * MIB
const PARTS_AT_ONCE = 4
const LIMIT_BYTES = 400 * MIB

/** A block that differs from every other block of the same stream, in time of a copy. */
function block(stream: number, index: number, noise: Buffer): Buffer {
  const bytes = Buffer.from(noise)
  bytes.writeUInt32LE(stream, 0)
  bytes.writeUInt32LE(index, 4)
  return bytes
}

const noise = Buffer.alloc(MIB)
for (let i = 0, state = 1; i < MIB; i++) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  noise[i] = state >>> 16
}

function* blocks(stream: number, from: number, count: number): Generator<Buffer> {
  for (let index = from; index < from + count; index++) yield block(stream, index, noise)
}

/** Compares a stream of any cut with the expected one, without keeping it. */
function comparer(stream: number) {
  let at = 0
  let expected = block(stream, 0, noise)
  let equal = true
  const take = (piece: Buffer) => {
    for (let done = 0; done < piece.length; ) {
      const within = at % MIB
      if (within === 0) expected = block(stream, at / MIB, noise)
      const length = Math.min(piece.length - done, MIB - within)
      if (piece.compare(expected, within, within + length, done, done + length) !== 0) equal = false
      done += length
      at += length
    }
  }
  return { take, result: () => ({ bytes: at, equal }) }
}

describe('memory', () => {
  const skip = process.platform === 'linux' ? false : 'the peak of the resident set is read from /proc'
  it(`stays under 400 MiB while ${TOTAL_BYTES / MIB} MiB go in and out`, { timeout: 20 * 60_000, skip }, async (t) => {
    const { server, client } = await serverToMeasure(t, 'master.large')
    const half = TOTAL_BYTES / 2

    const count = half / MIB
    const whole = { size: half, pieces: () => blocks(1, 0, count) }
    const put = await client.send('PUT', '/master.large/whole', { body: whole })
    assert.equal(put.status, 200, put.body.toString())

    const begun = await client.send('POST', '/master.large/parts', { query: 'uploads=' })
    const upload = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun.body.toString())?.[1] ?? '')
    const etags: string[] = []
    const numbers = Array.from({ length: half / PART_BYTES }, (_, index) => index).values()
    const sendParts = async () => {
      for (const index of numbers) {
        const body = { size: PART_BYTES, pieces: () => blocks(2, (index * PART_BYTES) / MIB, PART_BYTES / MIB) }
        const query = `partNumber=${index + 1}&uploadId=${upload}`
        const part = await client.send('PUT', '/master.large/parts', { query, body })
        assert.equal(part.status, 200, part.body.toString())
        etags[index] = String(part.headers.etag)
      }
    }
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, sendParts))
    const list = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
    const body = Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`)
    const complete = await client.send('POST', '/master.large/parts', { query: `uploadId=${upload}`, body })
    assert.match(complete.body.toString(), /<CompleteMultipartUploadResult/)

    for (const [key, stream] of [
      ['whole', 1],
      ['parts', 2],
    ] as const) {
      const { take, result } = comparer(stream)
      const got = await client.send('GET', `/master.large/${key}`, { onData: take })
      assert.equal(got.status, 200)
      assert.deepEqual(result(), { bytes: half, equal: true }, key)
    }
    const peak = await residentSet(server.pid, 'peak')
    t.diagnostic(`the server's resident set was at most ${Math.round(peak / MIB)} MiB`)
    assert.ok(peak > 0 && peak < LIMIT_BYTES, `${Math.round(peak / MIB)} MiB`)
    await server.stop()
  })
})
