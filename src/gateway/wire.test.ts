import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { digestOnce, MIB, parseRequestUrl, type Verified, verifyRequest } from '../kernel/index.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')
const key = { ...testKey, name: 'root', canonicalId: 'x', admin: true }

describe('bodies on the wire', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/bodies')
  })
  after(() => server.close())

  const code = async (reply: Response) => /<Code>(\w+)<\/Code>/.exec(await reply.text())?.[1] ?? String(reply.status)
  const isThere = async (path: string) => (await server.send('HEAD', path)).status === 200

  interface Chunked {
    readonly mode: string
    readonly trailer?: readonly [string, string]
    readonly headers?: Record<string, string>
    readonly decodedBytes?: number
    /** Changes the body after it was signed. */
    readonly tamper?: (body: Buffer) => Buffer
  }

  async function sendChunked(
    path: string,
    content: Buffer,
    { mode, trailer, headers = {}, decodedBytes, tamper }: Chunked,
  ) {
    const signed = server.sign('PUT', path, {
      bodySha256: mode,
      headers: {
        ...headers,
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': String(decodedBytes ?? content.length),
        ...(trailer ? { 'x-amz-trailer': trailer[0] } : {}),
      },
    })
    // The client's chain is the server's: both follow from the signature of the request.
    const verified: Verified = await verifyRequest(
      {
        method: 'PUT',
        rawUrl: path,
        headers: signed,
        rawHeaders: Object.entries(signed).flat(),
        url: parseRequestUrl(path),
      },
      { findKey: async () => key, nowMs: Date.now() },
    )
    assert.equal(verified.payload.kind, 'chunked')
    const chain = verified.payload.kind === 'chunked' ? verified.payload.chain : undefined
    const pieces: Buffer[] = []
    for (let at = 0; at <= content.length; at += 65_536) {
      const chunk = content.subarray(at, at + 65_536)
      if (chunk.length === 0) break
      pieces.push(
        Buffer.from(`${chunk.length.toString(16)}${chain ? `;chunk-signature=${chain.chunk(sha256(chunk))}` : ''}\r\n`),
      )
      pieces.push(chunk, Buffer.from('\r\n'))
    }
    pieces.push(Buffer.from(`0${chain ? `;chunk-signature=${chain.chunk(sha256(''))}` : ''}\r\n`))
    if (trailer) {
      pieces.push(Buffer.from(`${trailer[0]}:${trailer[1]}\r\n`))
      if (chain)
        pieces.push(
          Buffer.from(`x-amz-trailer-signature:${chain.trailer(sha256(`${trailer[0]}:${trailer[1]}\n`))}\r\n`),
        )
    }
    pieces.push(Buffer.from('\r\n'))
    const whole = Buffer.concat(pieces)
    const { host: _host, ...rest } = signed
    return fetch(server.origin + path, {
      method: 'PUT',
      headers: rest,
      body: new Uint8Array(tamper ? tamper(whole) : whole),
    })
  }

  const signedMode = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  const crcOf = (content: Buffer) => {
    const value = Buffer.alloc(4)
    value.writeUInt32BE(crc32(content))
    return value.toString('base64')
  }

  for (const size of [0, 10, 65_536, 200_000, 2 * MIB + 7]) {
    it(`of ${size} bytes come in signed and unsigned chunks, with and without trailers`, async () => {
      const content = randomBytes(size)
      const trailer = ['x-amz-checksum-crc32', crcOf(content)] as const
      const forms: Chunked[] = [
        { mode: signedMode },
        { mode: `${signedMode}-TRAILER`, trailer },
        { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', trailer },
      ]
      for (const form of forms) {
        const path = `/bodies/${form.mode}-${size}`
        const written = await sendChunked(path, content, form)
        assert.equal(written.status, 200, await written.text())
        const read = await server.send('GET', path)
        assert.ok(Buffer.from(await read.arrayBuffer()).equals(content))
        assert.equal(read.headers.get('content-encoding'), null)
        assert.equal(written.headers.get('x-amz-checksum-crc32'), form.trailer ? form.trailer[1] : null)
      }
    })

    it(`of ${size} bytes with a wrong chunk, trailer, checksum or length are refused and nothing is visible`, async () => {
      const content = randomBytes(size)
      const path = `/bodies/refused-${size}`
      const right = crcOf(content)
      const wrong = crcOf(Buffer.concat([content, Buffer.from('x')]))
      const flip = (body: Buffer) => {
        const at = size > 0 ? body.indexOf('\r\n') + 3 : 5
        body[at] = body[at]! ^ 1
        return body
      }
      const cases: [string, Chunked][] = [
        ['BadDigest', { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', trailer: ['x-amz-checksum-crc32', wrong] }],
        ['BadDigest', { mode: `${signedMode}-TRAILER`, trailer: ['x-amz-checksum-crc32', wrong] }],
        ['BadDigest', { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', trailer: ['x-amz-checksum-crc32', 'AAA'] }],
        ['IncompleteBody', { mode: signedMode, decodedBytes: size + 1 }],
        [
          'BadDigest',
          { mode: signedMode, headers: { 'content-md5': createHash('md5').update('other').digest('base64') } },
        ],
        [
          'SignatureDoesNotMatch',
          {
            mode: `${signedMode}-TRAILER`,
            trailer: ['x-amz-checksum-crc32', right],
            tamper: (body) =>
              Buffer.from(body.toString('latin1').replace(/(trailer-signature:)[0-9a-f]{4}/, '$10000'), 'latin1'),
          },
        ],
      ]
      if (size > 0) {
        cases.push(['SignatureDoesNotMatch', { mode: signedMode, tamper: flip }])
        cases.push(['IncompleteBody', { mode: signedMode, decodedBytes: size - 1 }])
      }
      for (const [expected, form] of cases) {
        assert.equal(await code(await sendChunked(path, content, form)), expected)
        assert.equal(await isThere(path), false)
      }
    })
  }

  it('are checked against every checksum that a header gives, whole and in pieces', async () => {
    for (const size of [5, 2 * MIB]) {
      const body = randomBytes(size)
      const digests = digestOnce(['sha1', 'sha256', 'crc32', 'crc32c', 'crc64nvme'], body)
      for (const [name, value] of Object.entries(digests)) {
        const header = `x-amz-checksum-${name}`
        const right = value.toString('base64')
        const written = await server.send('PUT', '/bodies/checked', { body, headers: { [header]: right } })
        assert.equal(written.status, 200)
        assert.equal(written.headers.get(header), right)
        const read = await server.send('HEAD', '/bodies/checked', { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
        assert.equal(read.headers.get(header), right)
        const other = Buffer.from(value)
        other[0] = other[0]! ^ 1
        const reply = await server.send('PUT', '/bodies/not-checked', {
          body,
          headers: { [header]: other.toString('base64') },
        })
        assert.equal(await code(reply), 'BadDigest', name)
      }
      const md5 = createHash('md5').update(body).digest('base64')
      assert.equal((await server.send('PUT', '/bodies/checked', { body, headers: { 'content-md5': md5 } })).status, 200)
      assert.equal(
        await code(await server.send('PUT', '/bodies/not-checked', { body, headers: { 'content-md5': 'x' } })),
        'InvalidDigest',
      )
    }
    assert.equal(await isThere('/bodies/not-checked'), false)
  })

  it('without a length are 411, and too large ones are refused before they are sent', async () => {
    const raw = await openRaw(server.port)
    raw.write(rawHead('PUT', '/bodies/none', server.sign('PUT', '/bodies/none')))
    assert.equal((await raw.reply())?.status, 411)
    const chunked = server.sign('PUT', '/bodies/none', { headers: { 'transfer-encoding': 'chunked' } })
    raw.write(`${rawHead('PUT', '/bodies/none', chunked)}0\r\n\r\n`)
    assert.equal((await raw.reply())?.status, 411)
    const large = server.sign('PUT', '/bodies/none', {
      headers: { 'content-length': String(6 * 1024 ** 3), expect: '100-continue' },
    })
    raw.write(rawHead('PUT', '/bodies/none', large))
    const reply = await raw.reply()
    assert.match(reply?.body ?? '', /EntityTooLarge/)
    raw.close()
  })

  it('that are cut off leave nothing visible, and the server goes on', async () => {
    for (const size of [1000, 3 * MIB]) {
      const raw = await openRaw(server.port)
      const headers = server.sign('PUT', '/bodies/cut', { headers: { 'content-length': String(size) } })
      raw.write(rawHead('PUT', '/bodies/cut', headers))
      raw.write(randomBytes(size - 1))
      await new Promise((resolve) => setTimeout(resolve, 50))
      raw.close()
      await raw.closed
    }
    assert.equal(await isThere('/bodies/cut'), false)
    assert.equal((await server.send('PUT', '/bodies/after', { body: 'x' })).status, 200)
  })

  it('are asked for with 100-continue, and a refusal comes without it on a connection that then ends', async () => {
    const raw = await openRaw(server.port)
    const headers = server.sign('PUT', '/bodies/expect', { headers: { 'content-length': '5', expect: '100-continue' } })
    raw.write(rawHead('PUT', '/bodies/expect', headers))
    assert.equal((await raw.reply())?.status, 100)
    raw.write('hello')
    assert.equal((await raw.reply())?.status, 200)
    // The connection is as good as before.
    const refused = server.sign('PUT', '/bodies/expect', {
      headers: { 'content-length': '5', expect: '100-continue', 'if-none-match': '"x", "y"' },
    })
    raw.write(rawHead('PUT', '/bodies/expect', refused))
    const reply = await raw.reply()
    assert.equal(reply?.status, 501)
    assert.equal(reply?.headers.get('connection'), 'close')
    await raw.closed
    assert.equal(await (await server.send('GET', '/bodies/expect')).text(), 'hello')
  })

  it('that are refused while they come do not spoil the connection', async () => {
    const raw = await openRaw(server.port)
    const body = randomBytes(300_000)
    const headers = server.sign('PUT', '/none/a', {
      headers: { 'content-length': String(body.length), 'x-amz-object-lock-mode': 'GOVERNANCE' },
    })
    raw.write(rawHead('PUT', '/none/a', headers))
    raw.write(body.subarray(0, 100_000))
    assert.equal((await raw.reply())?.status, 501)
    raw.write(body.subarray(100_000))
    raw.write(rawHead('GET', '/bodies?location=', server.sign('GET', '/bodies?location=')))
    assert.equal((await raw.reply())?.status, 200)
    raw.close()
  })

  it('come in pipelined requests on one connection', async () => {
    const raw = await openRaw(server.port)
    for (let i = 0; i < 20; i++) {
      const headers = server.sign('PUT', `/bodies/pipe-${i}`, { headers: { 'content-length': '5' } })
      raw.write(`${rawHead('PUT', `/bodies/pipe-${i}`, headers)}hello`)
    }
    for (let i = 0; i < 20; i++) assert.equal((await raw.reply())?.status, 200)
    raw.close()
  })

  it('that nobody takes any more are not read to their end', async () => {
    const body = randomBytes(8 * MIB)
    await server.send('PUT', '/bodies/large', { body })
    const raw = await openRaw(server.port)
    raw.socket.pause()
    raw.write(rawHead('GET', '/bodies/large', server.sign('GET', '/bodies/large')))
    await new Promise((resolve) => setTimeout(resolve, 50))
    raw.close()
    await raw.closed
    const again = await server.send('GET', '/bodies/large')
    assert.ok(Buffer.from(await again.arrayBuffer()).equals(body))
  })

  it('of a browser that has lost its way are told where to go', async () => {
    const reply = await fetch(server.origin, { headers: { accept: 'text/html' } })
    assert.match(await reply.text(), /port 30601/)
    assert.equal((await fetch(server.origin)).status, 403)
  })

  it('in CRLF-less, unquoted and re-rooted Complete documents are understood', async () => {
    const started = await (await server.send('POST', '/bodies/parts?uploads=')).text()
    const id = /<UploadId>([^<]+)<\/UploadId>/.exec(started)?.[1] ?? ''
    const part = await server.send('PUT', `/bodies/parts?partNumber=1&uploadId=${id}`, { body: 'hello' })
    const etag = part.headers.get('etag')!.replaceAll('"', '')
    const forms = [
      `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`,
      `<CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>&quot;${etag}&quot;</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUploadResult>`,
      `<?xml version="1.0"?><CompleteMultipartUpload>\n <Part>\n  <PartNumber> 1 </PartNumber><ETag>"${etag}"</ETag></Part></CompleteMultipartUpload>`,
    ]
    for (const body of forms) {
      const reply = await server.send('POST', `/bodies/parts?uploadId=${id}`, { body })
      assert.equal(reply.status, 200, await reply.text())
    }
    assert.equal(await (await server.send('GET', '/bodies/parts')).text(), 'hello')
    const size = await (await server.send('POST', '/bodies/sized?uploads=')).text()
    const sizedId = /<UploadId>([^<]+)<\/UploadId>/.exec(size)?.[1] ?? ''
    await server.send('PUT', `/bodies/sized?partNumber=1&uploadId=${sizedId}`, { body: 'hello' })
    const wrong = await server.send('POST', `/bodies/sized?uploadId=${sizedId}`, {
      body: forms[0]!,
      headers: { 'x-amz-mp-object-size': '6' },
    })
    assert.equal(await code(wrong), 'InvalidRequest')
  })
})
