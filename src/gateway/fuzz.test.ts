import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { createLog, encodeRfc3986, parseRequestUrl } from '../kernel/index.ts'
import { AwsChunkedDecoder } from './s3/body/decoder.ts'
import { newChain } from './s3/body/testing/chain.ts'
import { readCopySource } from './s3/copy-source.ts'
import { registry } from './s3/registry.ts'
import { readXml } from './s3/xml-read.ts'
import { fuzz, mutated, oddText } from './testing/fuzz.ts'
import { rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const TIMEOUT_MS = 10 * 60_000
const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

describe('a request target', () => {
  it('is taken apart or refused, and means the same when it is written as it is signed', async (t) => {
    const target = fc.tuple(fc.constantFrom('/', '', '/master.images/', '/%'), oddText, fc.option(oddText))
    await fuzz(t, target, ([start, path, query]) => {
      const raw = Buffer.from(`${start}${path}${query === null ? '' : `?${query}`}`).toString('latin1')
      let url: ReturnType<typeof parseRequestUrl>
      try {
        url = parseRequestUrl(raw)
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'MalformedUrl')
        return
      }
      const pairs = url.query.map(([name, value]) => `${encodeRfc3986(name)}=${encodeRfc3986(value)}`)
      const again = parseRequestUrl(`${url.canonicalPath}?${pairs.join('&')}`)
      assert.equal(again.path, url.path)
      assert.equal(again.canonicalPath, url.canonicalPath)
      assert.deepEqual(again.query, url.query)
    })
  })

  it('in a copy source is a bucket and a key, or refused', async (t) => {
    await fuzz(t, oddText, (text) => {
      try {
        const { path } = readCopySource({ 'x-amz-copy-source': Buffer.from(text).toString('latin1') })
        assert.ok(path.length > 0 && !path.startsWith('.sluice/'))
      } catch (error) {
        assert.ok(
          ['S3Error', 'InvalidName', 'InvalidPath', 'PathTooLong'].includes((error as Error).name),
          String(error),
        )
      }
    })
  })
})

describe('a body in signed chunks', () => {
  const now = new Date()
  const chunks = [Buffer.alloc(8192, 'a'), Buffer.from('the end'), Buffer.alloc(0)]
  const content = Buffer.concat(chunks)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(content))
  const trailer = `x-amz-checksum-crc32:${checksum.toString('base64')}`

  async function frame(signed: boolean): Promise<Buffer> {
    const chain = await newChain(testKey, now)
    const lines: Buffer[] = []
    for (const chunk of chunks) {
      const signature = signed ? `;chunk-signature=${chain.chunk(sha256(chunk))}` : ''
      lines.push(Buffer.from(`${chunk.length.toString(16)}${signature}\r\n`), chunk)
      if (chunk.length > 0) lines.push(Buffer.from('\r\n'))
    }
    const end = signed ? `x-amz-trailer-signature:${chain.trailer(sha256(`${trailer}\n`))}\r\n` : ''
    return Buffer.concat([...lines, Buffer.from(`${trailer}\r\n${end}\r\n`)])
  }

  for (const signed of [true, false]) {
    it(`that was changed is refused${signed ? ', or comes out as it went in' : ' or has the length that was announced'} (${signed ? 'signed' : 'unsigned'})`, async (t) => {
      const framed = await frame(signed)
      const input = fc.tuple(mutated(framed), fc.array(fc.nat({ max: 4000 }), { maxLength: 6 }))
      await fuzz(t, input, async ([body, cuts]) => {
        const decoder = new AwsChunkedDecoder({
          decodedBytes: content.length,
          trailers: ['x-amz-checksum-crc32'],
          ...(signed ? { chain: await newChain(testKey, now) } : {}),
        })
        const out: Buffer[] = []
        try {
          const places = [...cuts.map((cut) => Math.min(cut, body.length)), 0, body.length].sort((a, b) => a - b)
          for (let i = 1; i < places.length; i++) out.push(...decoder.push(body.subarray(places[i - 1]!, places[i]!)))
          decoder.end()
          const decoded = Buffer.concat(out)
          assert.equal(decoded.length, content.length)
          if (signed) assert.ok(decoded.equals(content))
        } catch (error) {
          assert.equal((error as Error).name, 'S3Error', String(error))
        }
        assert.ok(out.reduce((sum, { length }) => sum + length, 0) <= content.length)
      })
    })
  }
})

/** A document of each kind that clients send. */
const documents: Readonly<Record<string, string>> = {
  Delete:
    '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>a/b&amp;c</Key><VersionId>null</VersionId></Object><Object><Key>x</Key><ETag>"0"</ETag></Object></Delete>',
  CompleteMultipartUpload:
    '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>',
  Tagging: '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value/></Tag></TagSet></Tagging>',
  CORSConfiguration:
    '<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader><MaxAgeSeconds>10</MaxAgeSeconds></CORSRule></CORSConfiguration>',
  VersioningConfiguration:
    '<?xml version="1.0"?><VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>',
  CreateBucketConfiguration:
    '<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>',
  AccessControlPolicy:
    '<AccessControlPolicy><Owner><ID>x</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>x</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>',
}

const piece = fc.constantFrom(
  '<A>',
  '</A>',
  '<B/>',
  '<![CDATA[',
  ']]>',
  '<!--',
  '-->',
  '<?a',
  '?>',
  '&#x41;',
  '&lt;',
  '<!DOCTYPE a>',
  ' a="b"',
)
const anyXml = fc.oneof(
  fc.constantFrom(...Object.values(documents)).chain((text) => mutated(Buffer.from(text))),
  fc
    .array(fc.oneof(piece, oddText), { maxLength: 20 })
    .map((pieces) => Buffer.from(`<Tagging>${pieces.join('')}</Tagging>`)),
  // Long in one way each: what takes time that grows faster than the length shows here.
  fc
    .tuple(fc.oneof(piece, oddText, fc.string({ minLength: 1, maxLength: 3 })), fc.nat({ max: 20_000 }))
    .map(([text, times]) => Buffer.from(`<Tagging>${text.repeat(times)}</Tagging>`)),
)

describe('a document', () => {
  it('is read or is MalformedXML, and takes no time to speak of', async (t) => {
    await fuzz(t, anyXml, (bytes) => {
      try {
        readXml(bytes, ...Object.keys(documents))
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'MalformedXML', String(error))
      }
    })
  })
})

describe('a whole request', { timeout: TIMEOUT_MS }, () => {
  let server: TestServer
  const internal: string[] = []
  before(async () => {
    server = await startTestServer({ log: createLog('error', { write: (line) => internal.push(line) }) })
  })
  after(() => server.close())

  /**
   * Sends bytes as they are, and gives back everything that came until the server ended the connection. `ends`: the client ends its side,
   * so that nobody waits for what is missing (nor answers what was whole).
   */
  function converse(bytes: Buffer, ends: boolean): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(server.port, '127.0.0.1')
      const received: Buffer[] = []
      socket.on('data', (data) => received.push(data))
      // The server may have cut it while we still send.
      socket.on('error', () => {})
      socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')))
      socket.setTimeout(30_000, () => reject(new Error('the server left the connection hanging')))
      if (ends) socket.end(bytes)
      else socket.write(bytes)
    })
  }

  function holds(answers: string, sent: Buffer): void {
    const shown = sent.toString('latin1').slice(0, 2_000)
    const statuses = [...answers.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status))
    for (const status of statuses) {
      assert.ok(status < 500 || status === 501 || status === 503, `${status}: ${internal.join('')}\n${shown}`)
    }
    assert.deepEqual(internal, [], shown)
  }

  const routes = registry.filter(({ name }) => name !== 'WriteGetObjectResponse')
  const values: Readonly<Record<string, fc.Arbitrary<string>>> = {
    flush: fc.constant(''),
    timeout: fc.constant('0'),
  }
  const documentOf = (name: string) =>
    /Objects|Uploads$/.test(name) && name.startsWith('Delete')
      ? documents['Delete']!
      : (Object.entries(documents).find(([root]) =>
          name.includes(root.replace('Configuration', '').slice(0, 6)),
        )?.[1] ?? 'hello')
  const header = fc.tuple(
    fc.constantFrom(
      ...[
        'range',
        'if-match',
        'if-none-match',
        'if-modified-since',
        'content-md5',
        'content-type',
        'content-encoding',
        'expect',
      ],
      ...[
        'x-amz-copy-source',
        'x-amz-copy-source-range',
        'x-amz-metadata-directive',
        'x-amz-meta-a',
        'x-amz-tagging',
        'x-amz-acl',
      ],
      ...[
        'x-amz-checksum-crc32',
        'x-amz-checksum-algorithm',
        'x-amz-sdk-checksum-algorithm',
        'x-amz-trailer',
        'x-amz-rename-source',
      ],
      ...[
        'x-amz-decoded-content-length',
        'x-amz-mp-object-size',
        'x-amz-object-attributes',
        'x-amz-max-parts',
        'origin',
      ],
      ...[
        'x-amz-expected-bucket-owner',
        'x-amz-storage-class',
        'x-amz-bucket-object-lock-enabled',
        'x-amz-date',
        'host',
      ],
    ),
    oddText.map((text) => text.replace(/[^\x20-\x7e\x80-\xff]/g, '')),
  )
  const parameter = fc.tuple(
    fc.constantFrom(
      ...[
        'prefix',
        'delimiter',
        'marker',
        'max-keys',
        'continuation-token',
        'start-after',
        'encoding-type',
        'fetch-owner',
      ],
      ...[
        'partNumber',
        'uploadId',
        'versionId',
        'key-marker',
        'version-id-marker',
        'upload-id-marker',
        'part-number-marker',
      ],
      ...[
        'response-content-type',
        'response-expires',
        'x-id',
        'list-type',
        'tagging',
        'acl',
        'attributes',
        'renameObject',
        'versions',
      ],
    ),
    oddText,
  )
  const request = fc
    .record({
      route: fc.constantFrom(...routes),
      bucket: fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom('master.images', 'images', 'tx-a.images', 'tx-a.master.images') },
        oddText,
      ),
      key: fc.oneof(
        { weight: 2, arbitrary: fc.constantFrom('a', 'b/c', '.sluice/commit', '.sluice/log.json') },
        oddText,
      ),
      parameters: fc.array(parameter, { maxLength: 3 }),
      headers: fc.array(header, { maxLength: 4 }),
      mode: fc.constantFrom(
        'hash',
        'UNSIGNED-PAYLOAD',
        'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
        'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      ),
      body: fc.option(oddText),
      plain: fc.boolean(),
    })
    .chain((input) =>
      mutated(Buffer.from(input.body ?? documentOf(input.route.name))).map((body) => ({ ...input, bytes: body })),
    )
    .chain((input) =>
      fc
        .record(Object.fromEntries(Object.keys(input.route.parameters).map((name) => [name, values[name] ?? oddText])))
        .map((chosen) => ({ ...input, chosen })),
    )

  it('that is signed right is answered with less than 500, whatever is in it', async (t) => {
    for (const name of ['master.images', 'tx-a.images']) await server.send('PUT', `/${name}`)
    await fuzz(t, request, async (input) => {
      const { route, bucket, key, bytes, mode } = input
      const level = { service: '/', bucket: `/${encoded(bucket)}`, object: `/${encoded(bucket)}/${encoded(key)}` }[
        route.on
      ]
      const wanted = Object.entries(route.parameters).map(([name, value]) =>
        value === true ? `${name}=${encoded(input.chosen[name] ?? '')}` : `${name}=${value}`,
      )
      const odd = input.plain ? [] : input.parameters.map(([name, value]) => `${name}=${encoded(value)}`)
      // Without it a flush of the open transaction waits as long as it is open.
      const more = route.name === 'Flush' ? ['timeout=0'] : odd
      const path = `${level}?${[...wanted, ...more].join('&')}`
      const extra = input.plain ? [] : input.headers.filter(([name]) => name !== 'host' && name !== 'x-amz-date')
      const headers = {
        ...(route.header === undefined ? {} : { [route.header]: '/master.images/a' }),
        ...Object.fromEntries(extra),
        'content-length': String(bytes.length),
        connection: 'close',
      }
      const bodySha256 = mode === 'hash' ? sha256(bytes) : mode
      // Every now and then the bucket that all this is about was deleted.
      if (route.name === 'DeleteBucket') await server.send('PUT', '/master.images')
      const signed = server.sign(route.method, path, { headers, bodySha256 })
      const sent = Buffer.concat([Buffer.from(rawHead(route.method, path, signed), 'latin1'), bytes])
      const answers = await converse(sent, false)
      assert.match(answers, /^HTTP\/1\.1 /, sent.toString('latin1').slice(0, 2_000))
      holds(answers, sent)
    })
  })

  it('that is broken anywhere is answered with less than 500 or cut off, and the server goes on', async (t) => {
    await server.send('PUT', '/master.images')
    const whole = (method: string, path: string, body: string, more: Record<string, string> = {}) => {
      const headers = { ...more, 'content-length': String(body.length) }
      return Buffer.from(rawHead(method, path, server.sign(method, path, { headers })) + body)
    }
    const originals = [
      whole('PUT', '/master.images/a%20b', 'hello', { 'x-amz-meta-a': 'b', 'content-md5': 'XUFAKrxLKna5cZ2REBfFkg==' }),
      whole('GET', '/master.images?list-type=2&prefix=a%2Fb', ''),
      whole('POST', '/master.images?delete=', documents['Delete']!),
      Buffer.concat([whole('GET', '/master.images/a', ''), whole('HEAD', '/', '')]),
      Buffer.from(
        'PUT /master.images/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      ),
    ]
    await fuzz(t, fc.constantFrom(...originals).chain(mutated), async (sent) => holds(await converse(sent, true), sent))
    assert.equal((await server.send('GET', '/master.images?location=')).status, 200)
  })
})

/** Well-formed, so that it can be signed; what is not is in the other tests. */
function encoded(text: string): string {
  return encodeRfc3986(text.toWellFormed())
}
