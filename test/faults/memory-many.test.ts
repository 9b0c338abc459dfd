import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { Server } from '../../conformance/server.ts'
import { signRequest } from '../../src/kernel/index.ts'
import type { Client } from './client.ts'
import { residentSet, serverToMeasure } from './memory-server.ts'

const MIB = 1024 * 1024
const full = process.env['FAULTS'] === 'full'
/** AWS: an upload has at most 10,000 parts. */
const PARTS = full ? 10_000 : 500
const CONNECTIONS = full ? 1_000 : 200
/** What many of something may cost on top of a few. A leak of one small buffer each would be more. */
const LIMIT_BYTES = 100 * MIB
/** A Complete holds its document (1 MB for 10,000 parts), what it parses it into and the new manifest, once and for a moment. */
const COMPLETE_BYTES = 200 * MIB
const skip = process.platform === 'linux' ? false : 'the resident set is read from /proc'
const TIMEOUT_MS = 10 * 60_000

function isFlat(t: TestContext, what: string, before: number, now: number, limit = LIMIT_BYTES): void {
  const grown = Math.round((now - before) / MIB)
  t.diagnostic(`${what}: the resident set grew by ${grown} MiB`)
  assert.ok(now - before < limit, `${what}: ${grown} MiB`)
}

/** Does `work` for each number from 1 on, a few at once. */
async function forEach(count: number, work: (number: number) => Promise<void>): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => index + 1).values()
  const worker = async () => {
    for (const number of numbers) await work(number)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}

async function begin(client: Client, key: string): Promise<string> {
  const reply = await client.send('POST', `/master.many/${key}`, { query: 'uploads=' })
  return encodeURIComponent(/<UploadId>([^<]+)</.exec(reply.body.toString())?.[1] ?? '')
}

describe('memory stays flat', { timeout: TIMEOUT_MS, skip }, () => {
  it(`over ${PARTS} parts of one upload, copied, completed and read`, async (t) => {
    const { server, client } = await serverToMeasure(t, 'master.many')
    const part = Buffer.alloc(5 * MIB)
    for (let i = 0; i < part.length; i += 4) part.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 0, i)
    assert.equal((await client.send('PUT', '/master.many/source', { body: part })).status, 200)
    const upload = await begin(client, 'whole')
    const etags: string[] = []
    const copy = async (number: number) => {
      const query = `partNumber=${number}&uploadId=${upload}`
      const headers = { 'x-amz-copy-source': '/master.many/source' }
      const reply = await client.send('PUT', '/master.many/whole', { query, headers })
      assert.equal(reply.status, 200, reply.body.toString())
      etags[number - 1] = /<ETag>(?:&quot;|")?([0-9a-f]{32})/.exec(reply.body.toString())?.[1] ?? ''
    }
    await forEach(100, copy)
    const before = await residentSet(server.pid, 'now')
    await forEach(PARTS, copy)
    isFlat(t, 'the parts', before, await residentSet(server.pid, 'now'))
    const list = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
    const body = Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`)
    const complete = await client.send('POST', '/master.many/whole', { query: `uploadId=${upload}`, body })
    assert.match(complete.body.toString(), new RegExp(`-${PARTS}(?:&quot;|")</ETag>`))
    const last = await client.send('HEAD', '/master.many/whole', { query: `partNumber=${PARTS}` })
    assert.equal(last.headers['x-amz-mp-parts-count'], String(PARTS))
    const from = (PARTS - 1) * part.length + 1_000
    const range = { range: `bytes=${from}-${from + 999}` }
    const read = await client.send('GET', '/master.many/whole', { headers: range })
    assert.ok(read.body.equals(part.subarray(1_000, 2_000)))
    isFlat(t, 'completing and reading', before, await residentSet(server.pid, 'now'), COMPLETE_BYTES)
    await server.stop()
  })

  it(`over ${PARTS} parts that are sent, and an upload that is given up`, async (t) => {
    const { server, client } = await serverToMeasure(t, 'master.many')
    const send = async (upload: string, number: number) => {
      const query = `partNumber=${number}&uploadId=${upload}`
      const reply = await client.send('PUT', '/master.many/parts', { query, body: Buffer.alloc(1_024, number % 251) })
      assert.equal(reply.status, 200, reply.body.toString())
    }
    const first = await begin(client, 'parts')
    await forEach(100, (number) => send(first, number))
    const before = await residentSet(server.pid, 'now')
    const upload = await begin(client, 'parts')
    await forEach(PARTS, (number) => send(upload, number))
    const page = await client.send('GET', '/master.many/parts', {
      query: `uploadId=${upload}&part-number-marker=${PARTS - 10}`,
    })
    assert.equal(page.body.toString().match(/<PartNumber>/g)?.length, 10)
    for (const id of [first, upload]) {
      assert.equal((await client.send('DELETE', '/master.many/parts', { query: `uploadId=${id}` })).status, 204)
    }
    isFlat(t, 'the parts', before, await residentSet(server.pid, 'now'))
    await server.stop()
  })

  it(`over ${CONNECTIONS} connections that were used once and stay, and others are served meanwhile`, async (t) => {
    const { server, client } = await serverToMeasure(t, 'master.many')
    assert.equal((await client.send('PUT', '/master.many/a', { body: Buffer.from('hello') })).status, 200)
    const before = await residentSet(server.pid, 'now')
    const sockets: Socket[] = []
    t.after(() => {
      for (const socket of sockets) socket.destroy()
    })
    for (let i = 0; i < CONNECTIONS; i++) sockets.push(await usedOnce(server))
    isFlat(t, 'the connections', before, await residentSet(server.pid, 'now'))
    assert.equal((await client.send('GET', '/master.many/a')).body.toString(), 'hello')
    assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 0, 'they are kept')
    await server.stop()
  })
})

/** A connection on which one request was answered. */
async function usedOnce({ s3Url, credentials }: Server): Promise<Socket> {
  const { hostname, port } = new URL(s3Url)
  const socket = connect(Number(port), hostname)
  const headers = signRequest({
    ...credentials,
    method: 'GET',
    url: `${s3Url}/master.many/a`,
    headers: {},
    bodySha256: 'UNSIGNED-PAYLOAD',
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
  })
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  await new Promise<void>((resolve, reject) => {
    let received = ''
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the connection was closed after ${JSON.stringify(received)}`)))
    socket.on('data', (bytes: Buffer) => {
      received += bytes.toString('latin1')
      if (received.endsWith('\r\n\r\nhello')) resolve()
    })
    socket.write(`GET /master.many/a HTTP/1.1\r\n${head.join('')}\r\n`)
  })
  return socket
}
