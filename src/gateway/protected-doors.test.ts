import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { type CommitId, parsePath } from '../versioning/index.ts'
import { branchOf, putText } from '../versioning/testing/store.ts'
import { registry } from './s3/registry.ts'
import { type SendOptions, startTestServer, type TestServer } from './testing/server.ts'

/** Of a repo whose master is protected, as the tests below find it. */
const BRANCH = 'master.guarded'
const TAGGING = '<Tagging><TagSet><Tag><Key>by</Key><Value>them</Value></Tag></TagSet></Tagging>'

interface Known {
  /** An upload that was begun, with one part, before the branch was protected. */
  readonly upload: string
  readonly etag: string
  /** The version id of `a`, which `dev` shows too, and of the one before. */
  readonly version: string
  readonly former: string
  readonly commit: CommitId
}

type Door = readonly [method: string, path: string, options?: SendOptions]

const xml = (body: string): SendOptions => ({
  body,
  headers: { 'content-md5': hash('md5', body, 'base64'), 'content-type': 'application/xml' },
})
const from = (name: string, source: string): SendOptions => ({ headers: { [name]: source }, body: '' })

/** What writes to files, or to what stands beside them: each by every way in, and refused. */
const refusedDoors: Readonly<Record<string, (known: Known) => readonly Door[]>> = {
  PutObject: () => [
    ['PUT', `/${BRANCH}/a`, { body: 'x' }],
    ['PUT', `/${BRANCH}/new`, { body: 'x', headers: { 'if-none-match': '*' } }],
    ['PUT', `/${BRANCH}/out/_temporary/0/part`, { body: 'x' }],
    ['PUT', `/${BRANCH}/.sluice/commit`, { body: 'mine' }],
    ['PUT', '/guarded/a', { body: 'x' }],
    // Opened before.
    ['PUT', `/tx-open.${BRANCH}/.sluice/commit`, { body: 'mine' }],
  ],
  CopyObject: () => [
    ['PUT', `/${BRANCH}/new`, from('x-amz-copy-source', `/${BRANCH}/a`)],
    ['PUT', `/${BRANCH}/a`, from('x-amz-copy-source', '/dev.guarded/own')],
  ],
  RenameObject: () => [['PUT', `/${BRANCH}/new?renameObject`, from('x-amz-rename-source', `/${BRANCH}/a`)]],
  DeleteObject: ({ version, former }) => [
    ['DELETE', `/${BRANCH}/a`],
    ['DELETE', `/${BRANCH}/not-there`],
    ['DELETE', `/${BRANCH}/out/_temporary/0/was`],
    ['DELETE', `/${BRANCH}/a?versionId=${version}`],
    ['DELETE', `/${BRANCH}/a?versionId=${former}`],
  ],
  DeleteObjects: ({ version }) => [
    ['POST', `/${BRANCH}?delete`, xml('<Delete><Object><Key>a</Key></Object></Delete>')],
    ['POST', `/${BRANCH}?delete`, xml('<Delete><Object><Key>out/_temporary/0/was</Key></Object></Delete>')],
    [
      'POST',
      `/${BRANCH}?delete`,
      xml(`<Delete><Object><Key>a</Key><VersionId>${version}</VersionId></Object></Delete>`),
    ],
  ],
  PutObjectTagging: ({ version, former }) => [
    ['PUT', `/${BRANCH}/a?tagging`, { body: TAGGING }],
    ['PUT', `/${BRANCH}/a?tagging&versionId=${former}`, { body: TAGGING }],
    // The same versions by the names of others.
    ['PUT', '/dev.guarded/a?tagging', { body: TAGGING }],
    ['PUT', `/dev.guarded/a?tagging&versionId=${version}`, { body: TAGGING }],
    ['PUT', `/dev.guarded/a?tagging&versionId=${former}`, { body: TAGGING }],
    ['PUT', '/side.guarded/brought?tagging', { body: TAGGING }],
    ['PUT', `/tx-open.${BRANCH}/a?tagging`, { body: TAGGING }],
  ],
  DeleteObjectTagging: () => [
    ['DELETE', `/${BRANCH}/a?tagging`],
    ['DELETE', '/dev.guarded/a?tagging'],
  ],
  PutObjectAcl: () => [
    ['PUT', `/${BRANCH}/a?acl`, { headers: { 'x-amz-acl': 'public-read' } }],
    ['PUT', '/dev.guarded/a?acl', { headers: { 'x-amz-acl': 'public-read' } }],
    ['PUT', '/side.guarded/brought?acl', { headers: { 'x-amz-acl': 'public-read' } }],
    ['PUT', `/tx-open.${BRANCH}/a?acl`, { headers: { 'x-amz-acl': 'public-read' } }],
  ],
  CreateMultipartUpload: () => [['POST', `/${BRANCH}/new?uploads`]],
  CompleteMultipartUpload: ({ upload, etag }) => [
    [
      'POST',
      `/${BRANCH}/large?uploadId=${upload}`,
      xml(
        `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`,
      ),
    ],
  ],
  CreateBucket: () => [['PUT', `/tx-new.${BRANCH}`]],
  DeleteBucket: () => [['DELETE', `/${BRANCH}`]],
}

/** What is let through, and why: it changes no file and nothing that stands beside one. */
const letThrough: Readonly<Record<string, (known: Known) => readonly Door[]>> = {
  // A branch that is there is answered as such.
  CreateBucket: () => [['PUT', `/${BRANCH}`]],
  // Parts are nobody's file until the upload is completed.
  UploadPart: ({ upload }) => [['PUT', `/${BRANCH}/large?partNumber=2&uploadId=${upload}`, { body: 'x' }]],
  UploadPartCopy: ({ upload }) => [
    ['PUT', `/${BRANCH}/large?partNumber=3&uploadId=${upload}`, from('x-amz-copy-source', `/${BRANCH}/a`)],
  ],
  AbortMultipartUpload: ({ upload }) => [['DELETE', `/${BRANCH}/large?uploadId=${upload}`]],
  // A transaction is no branch, and can't be finished.
  PutObject: () => [['PUT', `/tx-open.${BRANCH}/a`, { body: 'x' }]],
  DeleteBucket: () => [['DELETE', `/tx-open.${BRANCH}`]],
  // Settings of the bucket, by its owners.
  PutBucketAcl: () => [['PUT', `/${BRANCH}?acl`, { headers: { 'x-amz-acl': 'private' } }]],
  PutBucketCors: () => [
    [
      'PUT',
      `/${BRANCH}?cors`,
      xml(
        '<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>',
      ),
    ],
  ],
  DeleteBucketCors: () => [['DELETE', `/${BRANCH}?cors`]],
  PutBucketTagging: () => [['PUT', `/${BRANCH}?tagging`, xml(TAGGING)]],
  DeleteBucketTagging: () => [['DELETE', `/${BRANCH}?tagging`]],
  PutBucketVersioning: () => [
    [
      'PUT',
      `/${BRANCH}?versioning`,
      xml('<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'),
    ],
  ],
}

/** Removing a configuration that there never is: see not-configured.ts. */
const nothingToRemove = [
  'DeleteBucketEncryption',
  'DeleteBucketLifecycle',
  'DeleteBucketOwnershipControls',
  'DeleteBucketPolicy',
  'DeleteBucketReplication',
  'DeleteBucketWebsite',
  'DeletePublicAccessBlock',
]

describe('a protected branch, by the doors of S3', () => {
  let server: TestServer
  let known: Known
  before(async () => {
    server = await startTestServer()
    const { versioning } = server.store
    const master = branchOf('guarded@master')
    await ok('PUT', `/${BRANCH}`)
    const former = await ok('PUT', `/${BRANCH}/a`, { body: 'first' })
    const put = await ok('PUT', `/${BRANCH}/a`, { body: 'kept', headers: { 'x-amz-tagging': 'by=us' } })
    const { id } = await versioning.finishCommit(master)
    for (const name of ['dev', 'side']) await versioning.createBranch(branchOf(`guarded@${name}`), { from: id })
    await ok('PUT', '/dev.guarded/own', { body: 'of dev' })
    await putText(versioning, branchOf('guarded@side'), 'brought', 'of the side')
    const theirs = await versioning.finishCommit(branchOf('guarded@side'))
    await ok('PUT', `/${BRANCH}/out/_temporary/0/was`, { body: 'scratch' })
    await ok('PUT', `/tx-open.${BRANCH}`)
    await ok('PUT', `/tx-open.${BRANCH}/mine`, { body: 'x' })
    const begun = await ok('POST', `/${BRANCH}/large?uploads`)
    const upload = /<UploadId>([^<]+)</.exec(begun.text)?.[1] ?? ''
    const part = await ok('PUT', `/${BRANCH}/large?partNumber=1&uploadId=${upload}`, { body: 'a part' })
    await versioning.protectBranch(master, true)
    await versioning.merges.merge(master, theirs.id)
    const version = (reply: typeof put) => reply.headers.get('x-amz-version-id') ?? ''
    known = { upload, etag: part.headers.get('etag') ?? '', version: version(put), former: version(former), commit: id }
  })
  after(() => server.close())

  async function ask(...[method, path, options]: Door) {
    const reply = await server.send(method, path, options)
    return { status: reply.status, headers: reply.headers, text: await reply.text() }
  }
  async function ok(...door: Door) {
    const reply = await ask(...door)
    assert.ok(reply.status < 300, `${door[0]} ${door[1]}: ${reply.status} ${reply.text}`)
    return reply
  }
  /** All that S3 shows of the branch's files, and its head. */
  async function shown(): Promise<string> {
    const listed = [`/${BRANCH}?list-type=2`, `/${BRANCH}?versions`, `/${BRANCH}/a`, `/${BRANCH}/out/_temporary/0/was`]
    const beside = ['a', 'brought', `a?versionId=${known.former}`].flatMap((key) =>
      ['tagging', 'acl'].map((what) => `/${BRANCH}/${key}${key.includes('?') ? '&' : '?'}${what}`),
    )
    const texts: string[] = []
    for (const path of [...listed, ...beside]) texts.push((await ok('GET', path)).text)
    const { head, openCommit } = await server.store.versioning.getBranch(branchOf('guarded@master'))
    return JSON.stringify([...texts, head, openCommit])
  }

  it('has each operation of the registry classified: as refused, as let through, or as one that reads', () => {
    const writes = registry.filter(({ operation }) => operation && operation.needs !== 'read').map(({ name }) => name)
    const classified = [...Object.keys(refusedDoors), ...Object.keys(letThrough), ...nothingToRemove, 'ListBuckets']
    assert.deepEqual([...new Set(writes)].sort(), [...new Set(classified)].sort())
  })

  for (const [name, doors] of Object.entries(refusedDoors)) {
    it(`is not changed by ${name}, not even by the root key: 403 that says what to do`, async () => {
      const before = await shown()
      for (const door of doors(known)) {
        const reply = await ask(...door)
        const where = `${door[0]} ${door[1]}: ${reply.status} ${reply.text}`
        assert.match(reply.text, /guarded@master is protected: only merges change it/, where)
        assert.match(reply.text, /<Code>AccessDenied</, where)
        // A bulk delete answers key by key.
        if (name !== 'DeleteObjects') assert.equal(reply.status, 403, where)
        assert.equal(await shown(), before, where)
      }
    })
  }

  for (const [name, doors] of Object.entries(letThrough)) {
    it(`lets ${name} through where that changes no file`, async () => {
      const before = await shown()
      for (const door of doors(known)) {
        await ok(...door)
        assert.equal(await shown(), before, `${door[0]} ${door[1]}`)
      }
    })
  }

  it('is not changed by what reads, and by what removes what there never is', async () => {
    const before = await shown()
    for (const { name, method, on, parameters, operation } of registry) {
      if (!operation || (operation.needs !== 'read' && !nothingToRemove.includes(name))) continue
      const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
      const path = on === 'bucket' ? `/${BRANCH}` : `/${BRANCH}/a`
      const { status, text } = await ask(method, query.length > 0 ? `${path}?${query.join('&')}` : path)
      assert.ok(status < 500 || status === 503, `${name}: ${text}`)
    }
    assert.equal(await shown(), before)
  })

  it('shows its versions on other branches, which change there what is their own', async () => {
    const before = await shown()
    await ok('PUT', '/dev.guarded/own?tagging', { body: TAGGING })
    await ok('DELETE', `/dev.guarded/a?versionId=${known.version}`)
    await ok('DELETE', '/side.guarded/a')
    assert.equal(await shown(), before)
    await ok('PUT', '/dev.guarded/a', { body: 'of dev now' })
    await ok('PUT', '/dev.guarded/a?tagging', { body: TAGGING })
    assert.equal(await shown(), before)
  })

  it('is written to again when the protection is taken off', async () => {
    const { versioning } = server.store
    await versioning.protectBranch(branchOf('guarded@master'), false)
    await ok('PUT', `/${BRANCH}/a?tagging`, { body: TAGGING })
    await ok('PUT', `/${BRANCH}/a`, { body: 'x' })
    assert.equal((await versioning.stat(branchOf('guarded@master'), parsePath('a'))).size, 1)
  })
})
