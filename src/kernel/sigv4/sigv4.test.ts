import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { rootKeyRing } from '../access/index.ts'
import {
  type ChunkChain,
  parseRequestUrl,
  presignUrl,
  type SignatureErrorCode,
  type SignInput,
  signRequest,
  type Verified,
  verifyRequest,
} from './index.ts'

const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const ring = rootKeyRing({ accessKeyId, secretAccessKey })
const nowMs = Date.UTC(2013, 4, 24)
const emptySha256 = createHash('sha256').digest('hex')
const base = { accessKeyId, secretAccessKey, region: 'us-east-1', service: 's3', now: new Date(nowMs) } as const

function sign(input: Pick<SignInput, 'method' | 'url'> & Partial<SignInput>): Record<string, string> {
  return signRequest({ ...base, headers: {}, bodySha256: emptySha256, ...input })
}

function signatureOf(headers: Record<string, string>): string {
  return /Signature=([0-9a-f]{64})/.exec(headers['authorization'] ?? '')?.[1] ?? ''
}

interface Sent {
  method?: string
  rawUrl?: string
  headers?: Record<string, string>
  rawHeaders?: string[]
  nowMs?: number
  region?: string
}

function verify(sent: Sent): Promise<Verified> {
  const headers = sent.headers ?? {}
  return verifyRequest(
    {
      method: sent.method ?? 'GET',
      rawUrl: sent.rawUrl ?? '/',
      headers,
      rawHeaders: sent.rawHeaders ?? Object.entries(headers).flat(),
    },
    { findKey: ring.find, nowMs: sent.nowMs ?? nowMs, region: sent.region },
  )
}

async function refuses(sent: Sent, code: SignatureErrorCode): Promise<void> {
  await assert.rejects(verify(sent), { name: 'SignatureError', code })
}

describe("AWS's published examples", () => {
  const host = 'https://examplebucket.s3.amazonaws.com'

  it('GET Object with a Range header', () => {
    assert.equal(
      signatureOf(sign({ method: 'GET', url: `${host}/test.txt`, headers: { Range: 'bytes=0-9' } })),
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    )
  })

  it('PUT Object with a Date header and a key that needs encoding', async () => {
    const headers = sign({
      method: 'PUT',
      url: `${host}/test$file.text`,
      headers: { Date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      bodySha256: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    })
    assert.equal(signatureOf(headers), '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd')
    const verified = await verify({ method: 'PUT', rawUrl: '/test%24file.text', headers })
    assert.deepEqual(verified.payload, {
      kind: 'sha256',
      hex: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    })
  })

  it('GET Bucket lifecycle', () => {
    assert.equal(
      signatureOf(sign({ method: 'GET', url: `${host}/?lifecycle` })),
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    )
  })

  it('GET Bucket (list objects)', () => {
    assert.equal(
      signatureOf(sign({ method: 'GET', url: `${host}/?max-keys=2&prefix=J` })),
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    )
  })

  it('a presigned GET', async () => {
    const url = presignUrl({ ...base, method: 'GET', url: `${host}/test.txt`, expiresSeconds: 86_400 })
    assert.ok(url.endsWith('X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'))
    const verified = await verify({
      rawUrl: url.slice(host.length),
      headers: { host: 'examplebucket.s3.amazonaws.com' },
    })
    assert.equal(verified.presigned, true)
    assert.deepEqual(verified.payload, { kind: 'unsigned' })
  })

  const chunkedHeaders = {
    'content-encoding': 'aws-chunked',
    'x-amz-decoded-content-length': '66560',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  }
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const chunks = [sha256('a'.repeat(65_536)), sha256('a'.repeat(1024)), emptySha256]

  async function chainOf(headers: Record<string, string>): Promise<ChunkChain> {
    const { payload } = await verify({ method: 'PUT', rawUrl: '/examplebucket/chunkObject.txt', headers })
    assert.equal(payload.kind, 'chunked')
    assert.ok(payload.kind === 'chunked' && payload.chain)
    return payload.chain
  }

  it('a body in signed chunks', async () => {
    const headers = sign({
      method: 'PUT',
      url: 'https://s3.amazonaws.com/examplebucket/chunkObject.txt',
      headers: { ...chunkedHeaders, 'content-length': '66824' },
      bodySha256: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    })
    assert.equal(signatureOf(headers), '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9')
    const chain = await chainOf(headers)
    assert.deepEqual(
      chunks.map((chunk) => chain.chunk(chunk)),
      [
        'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
        '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
        'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
      ],
    )
  })

  it('a body in signed chunks with a signed trailer', async () => {
    const headers = sign({
      method: 'PUT',
      url: 'https://s3.amazonaws.com/examplebucket/chunkObject.txt',
      headers: { ...chunkedHeaders, 'x-amz-trailer': 'x-amz-checksum-crc32c' },
      bodySha256: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    })
    assert.equal(signatureOf(headers), '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e')
    const chain = await chainOf(headers)
    assert.deepEqual(
      chunks.map((chunk) => chain.chunk(chunk)),
      [
        'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
        '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
        '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
      ],
    )
    assert.equal(
      chain.trailer(sha256('x-amz-checksum-crc32c:sOO8/Q==\n')),
      'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435',
    )
  })
})

describe('a request in its headers', () => {
  const url = 'http://127.0.0.1:30600/master.images/a.png'
  const rawUrl = '/master.images/a.png'
  const signed = (headers: Record<string, string> = {}, input: Partial<SignInput> = {}) =>
    sign({ method: 'GET', url, headers, ...input })

  it('is believed when it is signed right, and not when anything of it is changed', async () => {
    const headers = signed({ range: 'bytes=0-1' })
    assert.equal((await verify({ rawUrl, headers })).key.name, 'root')
    await refuses({ rawUrl: '/master.images/b.png', headers }, 'SignatureMismatch')
    await refuses({ rawUrl: `${rawUrl}?acl`, headers }, 'SignatureMismatch')
    await refuses({ rawUrl, headers, method: 'PUT' }, 'SignatureMismatch')
    await refuses({ rawUrl, headers: { ...headers, range: 'bytes=0-2' } }, 'SignatureMismatch')
    await refuses({ rawUrl, headers: { ...headers, host: 'elsewhere' } }, 'SignatureMismatch')
    await refuses({ rawUrl, headers: { ...headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }, 'SignatureMismatch')
    await refuses({ rawUrl, headers: { ...headers, 'x-amz-date': '20130524T000001Z' } }, 'SignatureMismatch')
    await refuses(
      { rawUrl, headers: signed({}, { secretAccessKey: 'another secret of the same user' }) },
      'SignatureMismatch',
    )
    await refuses({ rawUrl, headers: signed({}, { accessKeyId: 'AKIANOBODY' }) }, 'UnknownAccessKey')
  })

  it('is refused without a signature, and with two', async () => {
    await refuses({ rawUrl, headers: { host: 'a' } }, 'MissingAuthentication')
    // Who may come without one must not mean two buckets at once either.
    await refuses({ rawUrl, headers: { host: 'a' }, rawHeaders: ['Host', 'a', 'Host', 'b'] }, 'DuplicateHeader')
    const presigned = presignUrl({ ...base, method: 'GET', url, expiresSeconds: 60 }).slice(
      'http://127.0.0.1:30600'.length,
    )
    await refuses({ rawUrl: presigned, headers: signed() }, 'SeveralAuthentications')
  })

  it('is refused when host or an x-amz- header is not signed', async () => {
    await refuses({ rawUrl, headers: { ...signed(), 'x-amz-meta-a': 'b' } }, 'HeadersNotSigned')
    await refuses({ rawUrl, headers: { ...signed(), 'x-amz-copy-source': '/a/b' } }, 'HeadersNotSigned')
    const headers = signed()
    headers['authorization'] = headers['authorization']!.replace('SignedHeaders=host;', 'SignedHeaders=')
    await refuses({ rawUrl, headers }, 'HeadersNotSigned')
  })

  it('is refused when more headers are signed than any request has: each is looked for', async () => {
    const headers = signed()
    const many = Array.from({ length: 1001 }, (_, index) => `a${String(index).padStart(4, '0')}`).join(';')
    headers['authorization'] = headers['authorization']!.replace('SignedHeaders=', `SignedHeaders=${many};`)
    await refuses({ rawUrl, headers }, 'MalformedAuthorization')
  })

  it('is refused when a header that matters, or a part of the credential, is there twice', async () => {
    const headers = signed({ 'x-amz-meta-a': 'b' })
    const rawHeaders = [...Object.entries(headers).flat(), 'X-Amz-Meta-A', 'c']
    await refuses({ rawUrl, headers: { ...headers, 'x-amz-meta-a': 'b, c' }, rawHeaders }, 'DuplicateHeader')
    await refuses({ rawUrl, headers, rawHeaders: [...Object.entries(headers).flat(), 'Host', 'b'] }, 'DuplicateHeader')
    const twice = { ...headers, authorization: `${headers['authorization']}, Signature=${'0'.repeat(64)}` }
    await refuses({ rawUrl, headers: twice }, 'MalformedAuthorization')
  })

  it('joins the values of other headers that come twice, as the client signed them', async () => {
    const headers = signed({ 'cache-control': 'a,b' })
    const rawHeaders = Object.entries(headers).flatMap(([name, value]) =>
      name === 'cache-control' ? [name, 'a', name, 'b'] : [name, value],
    )
    await verify({ rawUrl, headers: { ...headers, 'cache-control': 'a, b' }, rawHeaders })
  })

  it('collapses runs of spaces as SigV4 says, and takes values as bytes', async () => {
    const headers = signed({
      'x-amz-meta-a': '  two   words ',
      'x-amz-meta-b': Buffer.from('gr\u00fc\u00df').toString('latin1'),
    })
    await verify({ rawUrl, headers })
    await refuses({ rawUrl, headers: { ...headers, 'x-amz-meta-b': 'gruss' } }, 'SignatureMismatch')
  })

  it('is refused outside of 15 minutes, and on another day than its credential', async () => {
    await verify({ rawUrl, headers: signed(), nowMs: nowMs + 15 * 60_000 })
    await refuses({ rawUrl, headers: signed(), nowMs: nowMs + 15 * 60_000 + 1 }, 'RequestTimeSkewed')
    await refuses({ rawUrl, headers: signed(), nowMs: nowMs - 15 * 60_000 - 1 }, 'RequestTimeSkewed')
    const headers = signed()
    headers['authorization'] = headers['authorization']!.replace('/20130524/', '/20130523/')
    await refuses({ rawUrl, headers }, 'MalformedAuthorization')
    await refuses({ rawUrl, headers: { ...signed(), 'x-amz-date': '20130231T000000Z' } }, 'MalformedAuthorization')
  })

  it('takes any region, unless one is configured', async () => {
    const headers = signed({}, { region: 'eu-central-1' })
    await verify({ rawUrl, headers })
    await verify({ rawUrl, headers, region: 'eu-central-1' })
    await refuses({ rawUrl, headers, region: 'us-east-1' }, 'MalformedAuthorization')
  })

  it('says what to do about signature version 2, other algorithms, services and tokens', async () => {
    await assert.rejects(verify({ headers: { host: 'a', authorization: 'AWS AKID:c2lnbmF0dXJl' } }), {
      code: 'UnsupportedSignatureVersion',
      message: /signature_version s3v4/,
    })
    await assert.rejects(verify({ rawUrl: '/a/b?AWSAccessKeyId=A&Signature=b&Expires=1', headers: { host: 'a' } }), {
      code: 'UnsupportedSignatureVersion',
      message: /s3v4/,
    })
    await refuses({ headers: { host: 'a', authorization: 'Basic Zm9vOmJhcg==' } }, 'UnsupportedSignatureVersion')
    await refuses({ rawUrl, headers: signed({ 'x-amz-security-token': 'abc' }) }, 'InvalidSecurityToken')
    const headers = signed()
    headers['authorization'] = headers['authorization']!.replace('/s3/', '/ec2/')
    await refuses({ rawUrl, headers }, 'MalformedAuthorization')
  })

  it('must say what its body is', async () => {
    await refuses({ rawUrl, headers: signed({}, { bodySha256: '' }) }, 'MissingPayloadHash')
    await refuses({ rawUrl, headers: signed({}, { bodySha256: 'STREAMING-NOTHING' }) }, 'InvalidPayloadHash')
    await refuses({ rawUrl, headers: signed({}, { bodySha256: emptySha256.toUpperCase() }) }, 'InvalidPayloadHash')
    assert.deepEqual((await verify({ rawUrl, headers: signed({}, { bodySha256: 'UNSIGNED-PAYLOAD' }) })).payload, {
      kind: 'unsigned',
    })
    assert.deepEqual(
      (await verify({ rawUrl, headers: signed({}, { bodySha256: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }) })).payload,
      { kind: 'chunked', trailer: true },
    )
  })
})

describe('a presigned URL', () => {
  const origin = 'http://127.0.0.1:30600'
  const headers = { host: '127.0.0.1:30600' }
  const presign = (path: string, expiresSeconds = 60, input: Partial<SignInput> = {}) =>
    presignUrl({ ...base, method: 'GET', url: `${origin}${path}`, expiresSeconds, ...input }).slice(origin.length)

  it('is believed until it expires', async () => {
    const rawUrl = presign('/a/b?response-content-type=text/plain')
    await verify({ rawUrl, headers })
    await verify({ rawUrl, headers, nowMs: nowMs + 60_000 })
    await refuses({ rawUrl, headers, nowMs: nowMs + 60_001 }, 'RequestExpired')
    await refuses({ rawUrl, headers, nowMs: nowMs - 16 * 60_000 }, 'RequestNotYetValid')
  })

  it('lives from 1 second to 7 days', async () => {
    await verify({ rawUrl: presign('/a/b', 604_800), headers })
    await refuses({ rawUrl: presign('/a/b', 604_801), headers }, 'MalformedQueryAuthorization')
    await refuses({ rawUrl: presign('/a/b', 0), headers }, 'RequestExpired')
    await refuses({ rawUrl: presign('/a/b', -1), headers }, 'RequestExpired')
  })

  it('is refused when anything of it is changed, missing or doubled', async () => {
    const rawUrl = presign('/a/b')
    await refuses({ rawUrl: rawUrl.replace('/a/b', '/a/c'), headers }, 'SignatureMismatch')
    await refuses({ rawUrl: `${rawUrl}&versionId=1`, headers }, 'SignatureMismatch')
    await refuses({ rawUrl: rawUrl.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'), headers }, 'SignatureMismatch')
    await refuses({ rawUrl: `${rawUrl}&X-Amz-Expires=60`, headers }, 'MalformedQueryAuthorization')
    await refuses({ rawUrl, headers: { ...headers, 'x-amz-meta-a': 'b' } }, 'HeadersNotSigned')
    for (const name of ['Algorithm', 'Credential', 'Date', 'Expires', 'SignedHeaders', 'Signature']) {
      const without = rawUrl.replace(new RegExp(`[?&]X-Amz-${name}=[^&]*`), (found) =>
        found.startsWith('?') ? '?x=1' : '',
      )
      await refuses({ rawUrl: without, headers }, 'MalformedQueryAuthorization')
    }
  })
})

describe('a URL', () => {
  it('means the same to signature and operation, whatever the client left unencoded', () => {
    assert.deepEqual(parseRequestUrl("/b/a%2Fb//c%2e%2e/(d)'~+%20?x=a+b%2B&y"), {
      path: "/b/a/b//c../(d)'~+ ",
      canonicalPath: '/b/a/b//c../%28d%29%27~%2B%20',
      query: [
        ['x', 'a b+'],
        ['y', ''],
      ],
    })
    assert.equal(parseRequestUrl('/b/%e2%82%ac').path, '/b/€')
    assert.equal(parseRequestUrl(`/b/${Buffer.from('€').toString('latin1')}`).canonicalPath, '/b/%E2%82%AC')
  })

  it('is refused when it is no UTF-8, broken or absolute', () => {
    for (const url of [
      '/%ff',
      '/%c0%af',
      '/%',
      '/%zz',
      '/%ed%a0%80',
      'http://a/b',
      '*',
      '',
      '/?a=%ff',
      `/?${'a&'.repeat(200)}`,
    ]) {
      assert.throws(() => parseRequestUrl(url), { code: 'MalformedUrl' }, url)
    }
  })

  it('is verified as it was signed, for any key and any query', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((s) => s.isWellFormed())
    const pairs = fc.array(fc.tuple(text, text), { maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(text, pairs, async (key, query) => {
        const encode = (s: string) => encodeURIComponent(s)
        const rawUrl = `/bucket/${encode(key)}?${query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')}`
        const headers = sign({ method: 'GET', url: `http://127.0.0.1${rawUrl}` })
        await verify({ rawUrl, headers })
        assert.equal(parseRequestUrl(rawUrl).path, `/bucket/${key}`)
      }),
    )
  })

  it('never makes the verifier throw anything but a SignatureError', async () => {
    const junk = fc.string({ unit: 'binary-ascii', maxLength: 80 })
    const authorization = fc.oneof(
      junk,
      junk.map((s) => `AWS4-HMAC-SHA256 ${s}`),
      fc
        .tuple(junk, junk, junk)
        .map(([a, b, c]) => `AWS4-HMAC-SHA256 Credential=${a}, SignedHeaders=${b}, Signature=${c}`),
    )
    await fc.assert(
      fc.asyncProperty(junk, authorization, junk, async (path, auth, date) => {
        await assert.rejects(
          verify({ rawUrl: `/${path}`, headers: { host: 'a', authorization: auth, 'x-amz-date': date } }),
          { name: 'SignatureError' },
        )
      }),
    )
  })
})
