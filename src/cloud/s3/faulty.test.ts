import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, describe, it } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { MIN_PART_BYTES } from '../../kernel/index.ts'
import { makeCertificate, withoutOpenssl } from '../../kernel/testing/certificates.ts'
import { md5Hex, multipartEtag } from '../body.ts'
import { StoreDenied, StoreError, StoreThrottled, StoreUnreachable } from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { errorDocument, openAt, page, putOne, taken, withServer, xml } from '../testing/scripted-s3.ts'
import { type AskedRequest, type Reply, startScriptedServer } from '../testing/scripted-server.ts'

const uploadBegun: Reply = {
  body: '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>',
}

describe('the S3 driver against a store with faults', () => {
  it('sends the same request by both ways of putting', async () => {
    await withServer(taken, async (store, server) => {
      const metadata = { commit: 'abc', odd: 'Grüße' }
      const options = { contentType: 'text/plain', metadata, only: 'absent' as const }
      for (let turn = 0; turn < 2; turn++) await store.put("a/ä b+c'(!)*/../x", Buffer.from('body'), 4, options)
      const [bySdk, plain] = server.asked
      const own = /^(x-amz-date|authorization|user-agent|x-amz-user-agent|amz-sdk-.*|connection)$/
      const same = ({ method, url, headers, body }: AskedRequest) => ({
        method,
        // The SDK says its name for the operation as well.
        url: url.replace('?x-id=PutObject', ''),
        body: String(body),
        headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !own.test(name))),
      })
      assert.deepEqual(same(plain!), same(bySdk!))
      assert.equal(plain!.headers['content-md5'], createHash('md5').update('body').digest('base64'))
      // What is signed by one covers at least what is signed by the other.
      const signed = (request: AskedRequest) =>
        /SignedHeaders=([^,]+)/.exec(request.headers.authorization!)![1]!.split(';')
      const ours = new Set(signed(plain!))
      for (const name of signed(bySdk!)) if (!own.test(name)) assert.ok(ours.has(name), name)
    })
  })

  it('knows how long a store asks to be left alone', async () => {
    const date = new Date(0).toUTCString()
    for (const [headers, waitMs] of [
      [{ 'retry-after': '7' }, 7_000],
      // By the clock of the store, whatever ours says.
      [{ 'retry-after': new Date(90_000).toUTCString(), date }, 90_000],
      [{ 'retry-after': 'soon' }, undefined],
      [{}, undefined],
    ] as const) {
      await withServer(
        () => xml(503, 'SlowDown', headers),
        (store) => assert.rejects(putOne(store), { code: 'StoreThrottled', retryAfterMs: waitMs }),
        1,
      )
    }
  })

  it('finds out that an upload was completed when only the answer was lost', async () => {
    const part = Buffer.from('abc')
    const whole = `"${multipartEtag([md5Hex(part)])}"`
    const replies: Reply[] = [{ cut: 'before' }, xml(404, 'NoSuchUpload')]
    await withServer(
      (request) => {
        if (request.method === 'HEAD') return { headers: { etag: whole }, body: part }
        if (request.method === 'PUT') return taken(request)
        return request.url.includes('uploads') ? uploadBegun : replies.shift()!
      },
      async (store) => {
        const upload = await store.createUpload('k', { size: 3, partBytes: MIN_PART_BYTES })
        const info = await upload.complete([await upload.putPart(1, part)])
        assert.equal(`"${info.etag}"`, whole)
        assert.equal(replies.length, 0)
      },
    )
  })

  it('takes no error for a success that comes with status 200', async () => {
    await withServer(
      ({ method, url }) => {
        if (method === 'POST' && url.includes('uploads')) return uploadBegun
        if (method === 'PUT') return { headers: { etag: `"${'a'.repeat(32)}"` } }
        return { status: 200, headers: { 'content-type': 'application/xml' }, body: errorDocument('InternalError') }
      },
      async (store, server) => {
        const upload = await store.createUpload('k', { size: 3, partBytes: MIN_PART_BYTES })
        const part = await upload.putPart(1, Buffer.from('abc'))
        const before = server.asked.length
        await assert.rejects(upload.complete([part]), StoreUnreachable)
        assert.equal(server.asked.length - before, 3)
      },
    )
    await withServer(
      ({ method }) =>
        method === 'HEAD'
          ? { headers: { etag: '"x"' } }
          : { headers: { 'content-type': 'application/xml' }, body: errorDocument('SlowDown') },
      (store) => assert.rejects(store.copy('a', 'b'), StoreThrottled),
    )
  })

  it('tries again by key what a bulk delete could not delete, and answers what stays', async () => {
    const failing = (entries: Record<string, string>): Reply => ({
      headers: { 'content-type': 'application/xml' },
      body: `<DeleteResult>${Object.entries(entries)
        .map(([key, code]) => `<Error><Key>${key}</Key><Code>${code}</Code><Message>m</Message></Error>`)
        .join('')}</DeleteResult>`,
    })
    const replies = [
      failing({ denied: 'AccessDenied', slow: 'SlowDown', broken: 'InternalError', gone: 'NoSuchKey' }),
      failing({ broken: 'InternalError' }),
      failing({ broken: 'InternalError' }),
    ]
    await withServer(
      () => replies.shift()!,
      async (store, server) => {
        const failures = await store.delete(['denied', 'slow', 'broken', 'gone', 'fine'])
        assert.deepEqual(
          failures.map(({ key, error }) => [key, error.constructor]),
          [
            ['denied', StoreDenied],
            ['broken', StoreUnreachable],
          ],
        )
        const keysOf = ({ body }: AskedRequest) =>
          [...String(body).matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key)
        assert.deepEqual(server.asked.map(keysOf), [
          ['denied', 'slow', 'broken', 'gone', 'fine'],
          ['slow', 'broken'],
          ['broken'],
        ])
        const [first] = server.asked
        assert.equal(first!.headers['content-md5'], createHash('md5').update(first!.body).digest('base64'))
      },
    )
  })

  it('tells a body that is cut off or stands still from one that is whole', async () => {
    const body = Buffer.alloc(100_000, 'x')
    for (const fault of [{ cut: 'middle' }, { stalls: 'middle' }] as const) {
      await withServer(
        () => ({ headers: { etag: '"e"' }, body, ...fault }),
        (store) => assert.rejects(async () => buffer(await store.get('k')), StoreUnreachable),
      )
    }
  })

  it('takes no page for an object, a description, a listing or a deletion', async () => {
    await withServer(
      () => page(200),
      async (store) => {
        for (const ask of [
          () => store.get('k'),
          () => store.head('k'),
          () => store.list(),
          () => store.delete(['k']),
        ]) {
          await assert.rejects(ask, { code: 'StoreRejected', message: /does not answer as S3 does/ })
        }
      },
    )
  })

  it('takes no torn listing for a short one', async () => {
    const object = (key: string) => `<Contents><Key>${key}</Key><ETag>"e"</ETag><Size>1</Size></Contents>`
    const head = '<?xml version="1.0"?><ListBucketResult><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>'
    const whole = `${head}${object('a')}${object('b')}</ListBucketResult>`
    const torn = [whole.slice(0, -10), `${head}${object('a')}`, `${head}${object('a')}</ListBucketResult>`, '']
    let body = whole
    await withServer(
      // Without a length: the end of the connection is the end of the body.
      () => ({ headers: { 'content-type': 'application/xml', connection: 'close' }, body, unmeasured: true }),
      async (store) => {
        assert.equal((await store.list()).objects.length, 2)
        for (body of torn) await assert.rejects(store.list(), StoreError, body)
      },
    )
  })

  it('reads no answer without end', async () => {
    const endless = `<ListBucketResult>${'<Contents></Contents>'.repeat(500_000)}</ListBucketResult>`
    await withServer(
      () => ({ headers: { 'content-type': 'application/xml' }, body: endless }),
      (store) => assert.rejects(store.list(), { code: 'StoreRejected', message: /without end/ }),
    )
  })

  it('says by which store and why where no answer comes at all', async () => {
    const closed = await startScriptedServer(() => ({}))
    await closed.close()
    const atClosed = openAt(`http://127.0.0.1:${closed.port}`)
    await assert.rejects(putOne(atClosed), { code: 'StoreUnreachable', message: /ECONNREFUSED/ })
    await atClosed.close()
    const nowhere = createTargetGuard({
      allowTargets: [],
      lookup: (host, _, callback) =>
        callback(
          Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }),
          [],
        ),
    })
    const unknown = openAt('https://nowhere.example', { guard: nowhere })
    await assert.rejects(putOne(unknown), { code: 'StoreUnreachable', message: /nowhere\.example is not known.*check/ })
    await unknown.close()
  })

  it('tells a certificate that is not trusted, and the wrong one of http and https', {
    skip: withoutOpenssl,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'))
    const files = await makeCertificate(folder, 'target')
    const own = { cert: await readFile(files.certFile, 'utf8'), key: await readFile(files.keyFile, 'utf8') }
    const secure = await startScriptedServer(taken, own)
    const plain = await startScriptedServer(taken)
    after(async () => {
      await secure.close()
      await plain.close()
      await rm(folder, { recursive: true })
    })
    for (const [endpoint, says] of [
      [`https://127.0.0.1:${secure.port}`, /certificate of .* is not trusted/],
      [`https://127.0.0.1:${plain.port}`, /does not speak TLS.*--endpoint http:/],
    ] as const) {
      const store = openAt(endpoint)
      await assert.rejects(putOne(store), { code: 'StoreRejected', message: says })
      await store.close()
    }
  })

  it('puts over TLS by both ways', { skip: withoutOpenssl }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'))
    const { certFile, keyFile } = await makeCertificate(folder, 'target')
    const own = { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') }
    const server = await startScriptedServer(taken, own)
    const trusted = getCACertificates('default')
    setDefaultCACertificates([...trusted, own.cert])
    const store = openAt(`https://127.0.0.1:${server.port}`)
    try {
      for (let turn = 0; turn < 2; turn++) await putOne(store)
      assert.equal(server.asked.length, 2)
      for (const { headers } of server.asked) assert.equal(headers['x-amz-content-sha256'], 'UNSIGNED-PAYLOAD')
    } finally {
      setDefaultCACertificates(trusted)
      await store.close()
      await server.close()
      await rm(folder, { recursive: true })
    }
  })

  it('signs the whole body where somebody may stand between', async () => {
    const byName = (host: string) => host === 'store.example'
    const guard = createTargetGuard({
      allowTargets: ['store.example:*'],
      lookup: (host, _, callback) => callback(null, byName(host) ? [{ address: '127.0.0.1', family: 4 }] : []),
    })
    const server = await startScriptedServer(taken)
    const store = openAt(`http://store.example:${server.port}`, { guard })
    for (let turn = 0; turn < 2; turn++) await putOne(store)
    const sha256 = createHash('sha256').update('x').digest('hex')
    assert.deepEqual(
      server.asked.map(({ headers }) => headers['x-amz-content-sha256']),
      [sha256, sha256],
    )
    await store.close()
    await server.close()
  })

  it("puts with the host's own identity, temporary as it is, by both ways", async () => {
    const identity = {
      AWS_ACCESS_KEY_ID: 'ASIAHOST',
      AWS_SECRET_ACCESS_KEY: 'of the host',
      AWS_SESSION_TOKEN: 'for an hour',
      AWS_REGION: 'eu-central-1',
    }
    const before = { ...process.env }
    Object.assign(process.env, identity)
    try {
      const server = await startScriptedServer(taken)
      const store = openAt(`http://127.0.0.1:${server.port}`, { asHost: true })
      for (let turn = 0; turn < 2; turn++) await putOne(store)
      for (const { headers } of server.asked) {
        assert.equal(headers['x-amz-security-token'], identity.AWS_SESSION_TOKEN)
        assert.match(headers.authorization!, /Credential=ASIAHOST\/\d{8}\/eu-central-1\/s3\/aws4_request/)
        assert.match(headers.authorization!, /SignedHeaders=[^,]*x-amz-security-token/)
      }
      assert.equal(server.asked.length, 2)
      await store.close()
      await server.close()
    } finally {
      for (const name of Object.keys(identity)) {
        if (before[name] === undefined) delete process.env[name]
        else process.env[name] = before[name]
      }
    }
  })

  it('sends nothing over a connection that the guard does not allow, by either way of putting', async () => {
    await withServer(taken, async (store, server) => {
      await putOne(store)
      // The name of the host now leads elsewhere: what is decided is decided on the address of each connection.
      const before = server.asked.length
      const guard = createTargetGuard({ allowTargets: [] })
      const closed = openAt(`http://127.0.0.1:${server.port}`, { guard })
      await assert.rejects(putOne(closed), { code: 'StoreDenied', message: /SLUICE_ALLOW_TARGETS/ })
      await closed.close()
      assert.equal(server.asked.length, before)
    })
  })
})
