import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  GetBucketAclCommand,
  GetObjectAclCommand,
  PutBucketAclCommand,
  PutObjectAclCommand,
} from '@aws-sdk/client-s3'
import { AccessDenied, type AccessKey, type KeyRing } from '../kernel/index.ts'
import { Guest } from './guests.ts'
import { registry } from './s3/registry.ts'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const root: AccessKey = { ...testKey, name: 'root', canonicalId: 'a'.repeat(64), admin: true }
const stranger: AccessKey = {
  accessKeyId: 'STRANGER',
  secretAccessKey: 'another secret, long enough',
  name: 'stranger',
  canonicalId: 'b'.repeat(64),
  admin: false,
}
const writer: AccessKey = {
  accessKeyId: 'WRITER',
  secretAccessKey: 'a third secret, long enough',
  name: 'writer',
  canonicalId: 'c'.repeat(64),
  admin: false,
  roles: new Map([['shared', 'writer']]),
}
/** Somebody else, of the name that requests without a key have. */
const namesake: AccessKey = {
  accessKeyId: 'NAMESAKE',
  secretAccessKey: 'a fourth secret, long enough',
  name: 'anonymous',
  canonicalId: 'd'.repeat(64),
  admin: false,
}
const keys: KeyRing = {
  find: async (id) => [root, stranger, writer, namesake].find(({ accessKeyId }) => accessKeyId === id),
}
const config = { region: undefined, apiPort: 30601, logLevel: 'silent' } as const

const groups = { everybody: 'http://acs.amazonaws.com/groups/global/AllUsers' }

for (const anonymous of [true, false]) {
  describe(`what is shared, ${anonymous ? 'also with those who have no key' : 'with keys only'}`, () => {
    let server: TestServer
    const Bucket = 'shared'
    const { put } = objectsIn(Bucket, () => server)
    before(async () => {
      server = await startTestServer({ keys, config: { ...config, anonymous } })
    })
    after(() => server.close())

    const status = async (method: string, path: string, who: AccessKey | undefined, body?: string) => {
      const options = { ...(body === undefined ? {} : { body }), ...(who ? { key: who } : {}) }
      const reply = who
        ? await server.send(method, path, options)
        : await fetch(server.origin + path, { method, ...(body === undefined ? {} : { body }) })
      return reply.status
    }
    /** Of a GET by a key without a role, and of one without a key. */
    const both = async (path: string) => [await status('GET', path, stranger), await status('GET', path, undefined)]
    const open = anonymous ? 200 : 403

    it('is nothing, as long as nobody shares it', async () => {
      await server.s3.send(new CreateBucketCommand({ Bucket }))
      await put('private', 'x')
      assert.deepEqual(await both('/shared/private'), [403, 403])
      assert.deepEqual(await both('/shared'), [403, 403])
      const acl = await server.s3.send(new GetBucketAclCommand({ Bucket }))
      assert.deepEqual(acl.Owner?.ID, root.canonicalId)
      assert.deepEqual(
        acl.Grants?.map(({ Grantee, Permission }) => [Grantee?.Type, Grantee?.ID, Permission]),
        [['CanonicalUser', root.canonicalId, 'FULL_CONTROL']],
      )
    })

    it('of objects is that version alone, and none of its bucket', async () => {
      await put('public', 'hello', { ACL: 'public-read' })
      await put('keys', 'hello', { ACL: 'authenticated-read' })
      assert.deepEqual(await both('/shared/public'), [200, open])
      assert.deepEqual(await both('/shared/keys'), [200, 403])
      // What it is sent as is said by who put it there, or by who signs: not by whoever makes a link to it.
      const asPage = '/shared/public?response-content-type=text%2Fhtml'
      assert.deepEqual(await both(asPage), [200, anonymous ? 400 : 403])
      assert.deepEqual(await both('/shared/private'), [403, 403])
      // Whether there is such an object is not for them to know.
      assert.deepEqual(await both('/shared/nothing'), [403, 403])
      assert.deepEqual(await both('/shared'), [403, 403])
      for (const query of ['acl=', 'tagging=', 'attributes=', 'versionId=00000000', 'torrent=']) {
        const [known, nobody] = await both(`/shared/public?${query}`)
        assert.ok(known !== 200 && nobody !== 200, query)
      }
      await put('public', 'the next one')
      assert.deepEqual(await both('/shared/public'), [403, 403])
      await server.s3.send(new PutObjectAclCommand({ Bucket, Key: 'public', ACL: 'public-read' }))
      assert.deepEqual(await both('/shared/public'), [200, open])
      const { Grants } = await server.s3.send(new GetObjectAclCommand({ Bucket, Key: 'public' }))
      assert.deepEqual(
        Grants?.map(({ Grantee, Permission }) => [Grantee?.URI ?? Grantee?.ID, Permission]),
        [
          [root.canonicalId, 'FULL_CONTROL'],
          [groups.everybody, 'READ'],
        ],
      )
      // A copy is private unless it says otherwise.
      await server.s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: 'shared/public' }))
      assert.deepEqual(await both('/shared/copy'), [403, 403])
      await server.s3.send(new PutObjectAclCommand({ Bucket, Key: 'public', ACL: 'private' }))
      assert.deepEqual(await both('/shared/public'), [403, 403])
    })

    it('of a bucket is its list, and with public-read-write what is put there', async () => {
      await server.s3.send(new PutBucketAclCommand({ Bucket, ACL: 'public-read' }))
      assert.deepEqual(await both('/shared?list-type=2'), [200, open])
      assert.deepEqual(await both('/shared/private'), [403, 403])
      assert.deepEqual(await both('/shared/nothing'), anonymous ? [404, 404] : [404, 403])
      // The list is that of the branch: what others and their commits hold is not in it.
      assert.deepEqual(await both('/shared/nothing?versionId=00000000'), [403, 403])
      assert.equal(await status('PUT', '/shared/mine', stranger, 'x'), 403)
      await server.s3.send(new PutBucketAclCommand({ Bucket, ACL: 'public-read-write' }))
      assert.equal(await status('PUT', '/shared/mine', stranger, 'x'), 200)
      assert.equal(await status('PUT', '/shared/theirs', undefined, 'x'), anonymous ? 200 : 403)
      assert.equal(await status('DELETE', '/shared/mine', stranger), 403)
      assert.equal(await status('DELETE', '/shared', undefined), 403)
      assert.equal(await status('POST', '/shared?delete=', undefined, '<Delete/>'), 403)
      // An upload is for who began it, though its id can be listed.
      const begin = await server.send('POST', '/shared/owned?uploads=')
      const uploadId = /<UploadId>([^<]+)</.exec(await begin.text())?.[1] ?? ''
      for (const [method, query] of [
        ['PUT', `partNumber=1&uploadId=${uploadId}`],
        ['DELETE', `uploadId=${uploadId}`],
        ['GET', `uploadId=${uploadId}`],
      ] as const) {
        const body = method === 'PUT' ? 'x' : undefined
        assert.equal(await status(method, `/shared/owned?${query}`, stranger, body), 403)
        assert.equal(await status(method, `/shared/owned?${query}`, undefined, body), 403)
      }
      const mine = await (await server.send('POST', '/shared/parts?uploads=', { key: stranger })).text()
      const part = `/shared/parts?partNumber=1&uploadId=${/<UploadId>([^<]+)</.exec(mine)?.[1]}`
      assert.equal(await status('PUT', part, stranger, 'x'), 200)
      // By who it is, not by the name: those can be chosen.
      const named = await (await server.send('POST', '/shared/parts?uploads=', { key: namesake })).text()
      const namedPart = `/shared/parts?partNumber=1&uploadId=${/<UploadId>([^<]+)</.exec(named)?.[1]}`
      assert.equal(await status('PUT', namedPart, namesake, 'x'), 200)
      assert.equal(await status('PUT', namedPart, undefined, 'x'), 403)
      // What is shared is the branch: its commits and its flush are not.
      const commit = await server.store.versioning.finishCommit({ repo: 'shared', branch: 'master' } as never)
      assert.deepEqual(await both(`/${commit.id}.shared`), [403, 403])
      assert.deepEqual(await both('/shared?flush='), [403, 403])
      assert.deepEqual(await both('/shared/.sluice/commit.json'), [403, 403])
      await server.s3.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }))
      assert.deepEqual(await both('/shared'), [403, 403])
    })

    it('tells nothing of the commits of others: not that they are there, and not why they failed', async () => {
      const { versioning, db } = server.store
      const input = { repo: 'shared', branch: 'master' } as never
      const output = { repo: 'hidden', branch: 'master' } as never
      await db.write((tx) => versioning.derived.define(tx, { output, pipeline: 'hidden', inputs: [input] }))
      await put('cause', 'x')
      const cause = await versioning.finishCommit(input)
      const [open] = await versioning.derived.listOpen()
      const failure = { kind: 'failed', reason: 'what was in the file' } as const
      await db.write((tx) => versioning.derived.fail(tx, open!.commit, failure))
      for (const commit of [open!.commit, cause.id, '00000000']) {
        for (const request of [
          server.send('GET', `/${commit}.hidden`, { key: stranger }),
          fetch(`${server.origin}/${commit}.hidden`),
        ]) {
          const reply = await request
          const text = await reply.text()
          assert.equal(reply.status, 403, text)
          assert.doesNotMatch(text, /in the file|failed|finished/)
        }
      }
    })

    it('is never more than the operations that S3 shares', async () => {
      await server.s3.send(new PutBucketAclCommand({ Bucket, ACL: 'public-read-write' }))
      await put('public', 'hello', { ACL: 'public-read' })
      const shared = new Set(
        'HeadBucket ListMultipartUploads ListObjects ListObjectsV2 ListObjectVersions AbortMultipartUpload CompleteMultipartUpload CreateMultipartUpload ListParts PutObject UploadPart GetObject HeadObject'.split(
          ' ',
        ),
      )
      const paths = { service: '/', bucket: '/shared', object: '/shared/public' }
      for (const { name, method, on, parameters, header, operation } of registry) {
        if (shared.has(name) || name === 'Preflight') continue
        const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
        const path = name === 'WriteGetObjectResponse' ? `/${name}` : paths[on]
        const headers: Record<string, string> = header === undefined ? {} : { [header]: '/shared/public' }
        const reply = await fetch(`${server.origin}${path}?${query.join('&')}`, { method, headers, redirect: 'manual' })
        assert.ok([403, ...(operation ? [] : [501])].includes(reply.status), `${name}: ${reply.status}`)
      }
      await server.s3.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }))
    })

    it('is shown only if the version that is shown was asked about', async () => {
      const refusal = new AccessDenied('not shared')
      const guest = new Guest(server.store.versioning.sharing, stranger, true, refusal)
      await assert.rejects(
        guest.run(async () => ({ status: 200, headers: {}, body: 'secret' })),
        refusal,
      )
    })

    it('is shared by owners only', async () => {
      const send = (path: string, more: object) => server.send('PUT', path, { key: writer, ...more })
      const acl = { headers: { 'x-amz-acl': 'public-read' }, body: 'x' }
      assert.equal((await send('/shared/by-writer', acl)).status, 403)
      assert.equal((await send('/shared/by-writer', { ...acl, headers: { 'x-amz-acl': 'private' } })).status, 200)
      assert.equal((await send('/shared/by-writer?acl=', { headers: acl.headers })).status, 403)
      assert.equal((await send('/shared?acl=', { headers: acl.headers })).status, 403)
      assert.equal((await send('/shared/by-writer?acl=', { headers: { 'x-amz-acl': 'private' } })).status, 200)
      const copy = { headers: { ...acl.headers, 'x-amz-copy-source': '/shared/by-writer' } }
      assert.equal((await send('/shared/copied', copy)).status, 403)
      const begun = await server.send('POST', '/shared/parts?uploads=', { key: writer, headers: acl.headers })
      assert.equal(begun.status, 403)
    })

    it('is set by the document that was read, and by no other than the canned ones', async () => {
      await put('document', 'x')
      const path = '/shared/document?acl='
      for (const access of ['public-read', 'authenticated-read', 'public-read-write', 'private']) {
        await server.send('PUT', path, { headers: { 'x-amz-acl': access } })
        const body = await (await server.send('GET', path)).text()
        await server.send('PUT', path, { headers: { 'x-amz-acl': 'private' } })
        assert.equal((await server.send('PUT', path, { body })).status, 200, access)
        assert.equal(await (await server.send('GET', path)).text(), body)
      }
      const document = (grants: string) =>
        `<AccessControlPolicy><Owner><ID>x</ID></Owner><AccessControlList>${grants}</AccessControlList></AccessControlPolicy>`
      const grant = (grantee: string, permission: string) =>
        `<Grant><Grantee>${grantee}</Grantee><Permission>${permission}</Permission></Grant>`
      const cases: [number, object][] = [
        [501, { body: document(grant(`<ID>${stranger.canonicalId}</ID>`, 'FULL_CONTROL')) }],
        [501, { body: document(grant(`<ID>${root.canonicalId}</ID>`, 'READ')) }],
        [501, { body: document(grant(`<URI>${groups.everybody}</URI>`, 'WRITE')) }],
        [501, { headers: { 'x-amz-acl': 'aws-exec-read' } }],
        [501, { headers: { 'x-amz-grant-read': 'id="x"' } }],
        [400, { headers: { 'x-amz-acl': 'private' }, body: document('') }],
        [400, { body: '<AccessControlPolicy/>' }],
        [400, {}],
      ]
      for (const [expected, options] of cases) {
        assert.equal((await server.send('PUT', path, options)).status, expected, JSON.stringify(options))
      }
      await refused(
        server.s3.send(new PutObjectAclCommand({ Bucket, Key: 'nothing', ACL: 'private' })),
        'NoSuchKey',
        404,
      )
    })
  })
}
