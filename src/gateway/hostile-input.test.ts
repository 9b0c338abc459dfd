import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { MAX_PARTS, presignUrl } from '../kernel/index.ts'
import { registry } from './s3/registry.ts'
import { openRaw, type RawReply, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

describe('hostile input', { timeout: 120_000 }, () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/master.images')
  })
  after(() => server.close())

  const code = async (reply: Response) => /<Code>(\w+)<\/Code>/.exec(await reply.text())?.[1] ?? String(reply.status)
  const text = async (path: string) => (await server.send('GET', path)).text()

  /** Not by fetch, which would resolve dots and slashes. */
  async function exchange(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body = '',
  ): Promise<RawReply> {
    const raw = await openRaw(server.port)
    const signed = server.sign(method, path, { headers: { ...headers, 'content-length': String(body.length) } })
    raw.write(rawHead(method, path, signed) + body)
    const reply = await raw.reply({ bodiless: method === 'HEAD' })
    raw.close()
    assert.ok(reply, `${method} ${path} was cut off`)
    return reply
  }

  it('in a copy source names the key that the path would, and no other', async () => {
    const keys = ['../secret', '..%2Fsecret', '%2e%2e/secret', 'a\\..\\secret', 'a//b', './a', 'a/../b']
    for (const key of keys) {
      const encoded = encodeURIComponent(key)
      assert.equal((await exchange('PUT', `/master.images/${encoded}`, {}, key)).status, 200, key)
    }
    for (const key of keys) {
      for (const source of [
        `/master.images/${encodeURIComponent(key)}`,
        `master.images%2F${encodeURIComponent(key).replaceAll('.', '%2e')}`,
        `/master.images/${encodeURI(key)}`,
      ]) {
        const copied = await exchange('PUT', '/master.images/copied', { 'x-amz-copy-source': source })
        assert.equal(copied.status, 200, `${source}: ${copied.body}`)
        assert.equal(await text('/master.images/copied'), key, source)
      }
    }
    for (const source of ['/master.images', '//master.images/a', '/../master.images/a', '%2e%2e/a', '/', '%', '?x']) {
      const refused = await exchange('PUT', '/master.images/c', { 'x-amz-copy-source': source })
      assert.ok(refused.status >= 400 && refused.status < 500, `${source}: ${refused.status}`)
    }
    for (const source of ['/master.images/.sluice/log.json', '/master.images/%2esluice%2flog.json']) {
      const refused = await exchange('PUT', '/master.images/c', { 'x-amz-copy-source': source })
      assert.match(refused.body, /<Code>InvalidRequest<\/Code>/, source)
    }
    assert.equal((await server.send('HEAD', '/master.images/c')).status, 404)
  })

  it('in a delete list is the key letter by letter, never decoded, and never the control folder', async () => {
    for (const key of ['a/b', '../x', 'plain']) await server.send('PUT', `/master.images/${encodeURIComponent(key)}`)
    const list = ['a%2Fb', '%2e%2e/x', 'a\\b', './plain', 'plain/', ' plain', '.sluice/commit'].map(
      (key) => `<Object><Key>${key}</Key></Object>`,
    )
    const reply = await server.send('POST', '/master.images?delete=', { body: `<Delete>${list.join('')}</Delete>` })
    const body = await reply.text()
    assert.equal(reply.status, 200, body)
    assert.match(body, /<Error><Key>\.sluice\/commit<\/Key>.*?<Code>AccessDenied<\/Code>/)
    for (const key of ['a/b', '../x', 'plain']) {
      assert.equal((await exchange('HEAD', `/master.images/${encodeURIComponent(key)}`)).status, 200, key)
    }
  })

  it('with a line end never reaches a header of the answer', async () => {
    await server.send('PUT', '/master.images/plain', { body: 'x' })
    const overrides = [
      'cache-control',
      'content-disposition',
      'content-encoding',
      'content-language',
      'content-type',
      'expires',
    ]
    for (const name of overrides) {
      for (const value of ['a%0D%0Ax-added:%20b', 'a%0Ax-added:b', 'a%0D', 'a%00', '%0d%0a%0d%0a<html>']) {
        const path = `/master.images/plain?response-${name}=${value}`
        const reply = await exchange('GET', path)
        assert.ok(reply.status === 400 || reply.status === 200, `${path}: ${reply.status}`)
        assert.equal(reply.headers.get('x-added'), undefined, path)
        assert.doesNotMatch(reply.body, /^<html>/)
      }
    }
    // A presigned URL carries headers in its query, where no HTTP parser looks at them.
    for (const header of ['x-amz-meta-a', 'x-amz-website-redirect-location', 'x-amz-checksum-crc32']) {
      const url = presignUrl({
        ...testKey,
        method: 'PUT',
        url: `${server.origin}/master.images/meta?${header}=${encodeURIComponent('a\r\nx-added: b')}`,
        region: 'us-east-1',
        service: 's3',
        now: new Date(),
        expiresSeconds: 60,
      })
      assert.equal((await fetch(url, { method: 'PUT', body: 'x' })).status, 400, header)
    }
    assert.equal((await server.send('HEAD', '/master.images/meta')).status, 404)
    for (const line of ['x-amz-meta-a: b\rc', 'x-amz-meta-a: b\u0000c', 'x-amz-meta-a\r\n: b', 'x amz: b']) {
      const raw = await openRaw(server.port)
      const signed = server.sign('PUT', '/master.images/meta', { headers: { 'content-length': '0' } })
      raw.write(rawHead('PUT', '/master.images/meta', signed).replace('\r\n\r\n', `\r\n${line}\r\n\r\n`))
      assert.equal((await raw.reply())?.status, 400, JSON.stringify(line))
      raw.close()
    }
  })

  it('named like a part of every object is a name like another: as metadata, parameter and key', async () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype']
    for (const name of names) {
      const headers = { [`x-amz-meta-${name.toLowerCase()}`]: 'mine', 'content-length': '1' }
      const put = await exchange('PUT', `/master.images/${name}`, headers, 'x')
      assert.equal(put.status, 200, put.body)
      const head = await exchange('HEAD', `/master.images/${name}`)
      assert.equal(head.headers.get(`x-amz-meta-${name.toLowerCase()}`), 'mine')
      const read = await exchange('GET', `/master.images/${name}?${name}=1`)
      assert.equal(read.body, 'x')
      // As a name alone it is a subresource, and there is none of that name.
      assert.equal((await exchange('PUT', `/master.images/${name}?${name}`, {}, 'y')).status, 501)
      assert.equal((await exchange('GET', `/master.images?uploads&${name}=1`)).status, 200)
      // Some are names that a bucket may have; there is none.
      assert.ok([400, 404].includes((await exchange('GET', `/${name}/a`)).status), name)
    }
    assert.equal(({} as Record<string, unknown>)['mine'], undefined)
    const list = await text('/master.images?list-type=2&prefix=__proto__')
    assert.match(list, /<Key>__proto__<\/Key>/)
  })

  const documents = registry.filter(
    ({ operation }) => operation?.documentBytes !== undefined && operation.documentBytes > 0,
  )
  /** The root element of each, so that the refusal is of what is inside. */
  const bombs = (root: string): Record<string, string> => ({
    'a DOCTYPE': `<!DOCTYPE ${root} [<!ENTITY a "x">]><${root}>&a;</${root}>`,
    'an outer entity': `<!DOCTYPE ${root} SYSTEM "file:///etc/passwd"><${root}/>`,
    'a billion laughs': `<!DOCTYPE ${root} [<!ENTITY a "${'x'.repeat(1000)}"><!ENTITY b "${'&a;'.repeat(1000)}">]><${root}>&b;</${root}>`,
    'an unknown entity': `<${root}><Key>&nbsp;</Key></${root}>`,
    'a deep one': `<${root}>${'<A>'.repeat(5_000)}${'</A>'.repeat(5_000)}</${root}>`,
    'a megabyte of references': `<${root}><Key>${'&#65;'.repeat(200_000)}</Key></${root}>`,
    'one that never ends': `<${root}><Key>`,
    'an array': '[]',
  })
  const roots: Record<string, string> = {
    DeleteObjects: 'Delete',
    CompleteMultipartUpload: 'CompleteMultipartUpload',
    CreateBucket: 'CreateBucketConfiguration',
    PutBucketVersioning: 'VersioningConfiguration',
    PutBucketTagging: 'Tagging',
    PutObjectTagging: 'Tagging',
    PutBucketCors: 'CORSConfiguration',
    PutBucketAcl: 'AccessControlPolicy',
    PutObjectAcl: 'AccessControlPolicy',
  }

  it('as a document is refused on every route that takes one, and changes nothing', async () => {
    await server.send('PUT', '/master.images/stays', { body: 'x' })
    const started = await (await server.send('POST', '/master.images/upload?uploads=')).text()
    const uploadId = /<UploadId>([^<]+)<\/UploadId>/.exec(started)?.[1] ?? ''
    const settings = ['cors', 'tagging', 'versioning', 'acl']
    const before = await Promise.all(settings.map((name) => text(`/master.images?${name}=`)))
    assert.ok(documents.length >= 5, 'the registry says which routes take documents')
    for (const { name, method, on, parameters, operation } of documents) {
      const root = roots[name]
      assert.ok(root, `${name} takes a document: its root belongs into the list of this test`)
      const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
      const named = query.map((pair) => (pair === 'uploadId=' ? `uploadId=${uploadId}` : pair)).join('&')
      const place =
        name === 'CreateBucket' ? '/new.images' : on === 'object' ? '/master.images/stays' : '/master.images'
      const path = named === '' ? place : `${place}?${named}`
      for (const [what, body] of Object.entries(bombs(root))) {
        // What is longer than the route takes is refused for that.
        const expected = body.length > operation!.documentBytes! ? 'EntityTooLarge' : 'MalformedXML'
        const reply = await server.send(method, path, { body })
        assert.equal(await code(reply), expected, `${name}, ${what}`)
      }
      const long = `<${root}><!--${'x'.repeat(operation!.documentBytes!)}--></${root}>`
      assert.equal(await code(await server.send(method, path, { body: long })), 'EntityTooLarge', name)
    }
    assert.equal(await text('/master.images/stays'), 'x')
    const isSame = (value: string, index: number) =>
      assert.equal(stable(value), stable(before[index] ?? ''), settings[index])
    ;(await Promise.all(settings.map((name) => text(`/master.images?${name}=`)))).forEach(isSame)
    assert.equal(await code(await server.send('GET', '/new.images?location=')), 'NoSuchBucket')
  })

  it('by a form is not taken: it is not implemented, and no field of it has an effect', async () => {
    const form = new FormData()
    form.set('key', '../escaped')
    form.set('policy', Buffer.from('{"conditions":[]}').toString('base64'))
    form.set('file', new Blob(['content']))
    const anonymous = await fetch(`${server.origin}/master.images`, { method: 'POST', body: form })
    assert.equal(anonymous.status, 403)
    const signed = await server.send('POST', '/master.images', { body: 'key=../escaped' })
    assert.equal(signed.status, 501)
    assert.equal((await exchange('HEAD', '/master.images/..%2Fescaped')).status, 404)
  })

  it('of too many, too low and too high parts is refused', async () => {
    const started = await (await server.send('POST', '/master.images/parts?uploads=')).text()
    const id = /<UploadId>([^<]+)<\/UploadId>/.exec(started)?.[1] ?? ''
    for (const number of ['0', '-1', String(MAX_PARTS + 1), '1e3', '0x1', '1.0', '', '99999999999999999999']) {
      const reply = await server.send('PUT', `/master.images/parts?partNumber=${number}&uploadId=${id}`, { body: 'x' })
      assert.equal(await code(reply), number === '' ? 'InvalidRequest' : 'InvalidArgument', number)
    }
    const part = (number: number) => `<Part><PartNumber>${number}</PartNumber><ETag>"x"</ETag></Part>`
    const body = `<CompleteMultipartUpload>${Array.from({ length: MAX_PARTS + 1 }, (_, i) => part(i + 1)).join('')}</CompleteMultipartUpload>`
    const reply = await server.send('POST', `/master.images/parts?uploadId=${id}`, { body })
    assert.ok(['MalformedXML', 'InvalidArgument', 'InvalidPart'].includes(await code(reply)))
    for (const uploadId of ['../x', '%2e%2e', 'x'.repeat(5_000), '__proto__', "'; DROP TABLE uploads; --"]) {
      const path = `/master.images/parts?partNumber=1&uploadId=${encodeURIComponent(uploadId)}`
      assert.equal(await code(await server.send('PUT', path, { body: 'x' })), 'NoSuchUpload', uploadId)
    }
  })

  it('in a head is bounded: its size, its lines, its parameters', async () => {
    const headers = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`x-h-${i}`, 'v']))
    assert.equal((await exchange('GET', '/master.images?location=', headers)).status, 431)
    const raw = await openRaw(server.port)
    const parameters = Array.from({ length: 101 }, (_, i) => `p${i}=v`).join('&')
    raw.write(rawHead('GET', `/master.images?${parameters}`, server.sign('GET', '/master.images')))
    assert.match((await raw.reply())?.body ?? '', /<Code>InvalidURI<\/Code>.*at most 100 query parameters/)
    raw.write(`GET /${'a'.repeat(70_000)} HTTP/1.1\r\nHost: a\r\n\r\n`)
    assert.equal((await raw.reply())?.status, 431)
    raw.close()
  })
})

/** Without what differs from answer to answer. */
function stable(body: string): string {
  return body.replace(/<RequestId>.*?<\/RequestId>/, '')
}
