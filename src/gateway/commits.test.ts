import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { branchOf } from '../versioning/testing/store.ts'
import { objectsIn, refused } from './testing/objects.ts'
import { startPeopledServer } from './testing/people.ts'
import { type SendOptions, startTestServer, type TestServer } from './testing/server.ts'

/** How S3A names itself. */
const hadoop = 'Hadoop 3.4.1, aws-sdk-java/2.29.52 ua/2.1 os/Linux lang/java#17'

describe('commits for tools that know nothing of commits', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
  })
  after(() => server.close())

  const s3 = () => server.s3
  const bucket = async (name: string) => {
    await s3().send(new CreateBucketCommand({ Bucket: name }))
    return objectsIn(name, () => server)
  }
  const keys = async (Bucket: string, more = {}) => {
    const page = await s3().send(new ListObjectsV2Command({ Bucket, ...more }))
    return (page.Contents ?? []).map(({ Key }) => Key)
  }
  const at = (name: string) => branchOf(`${name}@master`)
  const log = async (name: string) => {
    const commits = await server.store.versioning.listCommits(at(name).repo, { branch: at(name).branch })
    return commits.map(({ state, message }) => [state, message])
  }
  const flush = async (name: string, force = '') => {
    const reply = await server.send('POST', `/master.${name}?flush=&timeout=1ms${force}`)
    await reply.text()
    assert.equal(reply.status, 200)
    return (await server.store.versioning.getBranch(at(name))).openCommit
  }
  const commit = (path: string, body = '', more = {}) =>
    server.send('PUT', `/${path}/.sluice/commit`, { body, ...more })

  describe('a PUT of .sluice/commit', () => {
    it('makes one commit of what the branch has gathered, with the body as its message', async () => {
      const { put } = await bucket('master.put')
      await put('a')
      await put('b')
      const reply = await commit('master.put', 'first words\n')
      assert.equal(reply.status, 200)
      assert.equal(reply.headers.get('x-sluice-commit-state'), 'finished')
      assert.deepEqual(await log('put'), [['finished', 'first words']])
      assert.deepEqual(await keys(`${reply.headers.get('x-sluice-commit')}.put`), ['a', 'b'])
      const again = await commit('master.put', 'first words\n')
      assert.equal(again.headers.get('x-sluice-commit'), reply.headers.get('x-sluice-commit'))
    })

    it('is refused where nothing was written, where it is too long or no text, and everywhere else in the folder', async () => {
      const { put } = await bucket('master.refusals')
      const empty = await commit('master.refusals', 'none')
      assert.equal(empty.status, 409)
      assert.match(await empty.text(), /nothing was written/)
      await put('a')
      assert.equal((await commit('master.refusals', 'x'.repeat(5000))).status, 400)
      assert.equal((await commit('master.refusals', Buffer.from([0xff, 0xfe]) as unknown as string)).status, 400)
      assert.equal((await server.send('PUT', '/master.refusals/.sluice/other', { body: 'x' })).status, 403)
      assert.equal((await server.send('DELETE', '/master.refusals/.sluice/commit')).status, 403)
      assert.equal((await server.send('POST', '/master.refusals/.sluice/commit?uploads=')).status, 403)
      const copied = await commit('master.refusals', '', { headers: { 'x-amz-copy-source': '/master.refusals/a' } })
      assert.equal(copied.status, 403)
      assert.notEqual((await server.store.versioning.getBranch(at('refusals'))).openCommit, undefined)
    })

    it('with a signature that is not the caller’s changes nothing', async () => {
      const { put } = await bucket('master.bogus')
      await put('a')
      const key = { accessKeyId: 'SLUICETESTKEY', secretAccessKey: 'another secret that is long enough' }
      assert.equal((await commit('master.bogus', 'x', { key })).status, 403)
      assert.notEqual((await server.store.versioning.getBranch(at('bogus'))).openCommit, undefined)
    })
  })

  describe('a tx- bucket', () => {
    it('is created, written, read, found by HEAD, not listed among buckets, and finished', async () => {
      const { put: putOn } = await bucket('master.tx')
      await putOn('old', 'old')
      const { put, get } = await bucket('tx-job.master.tx')
      await put('new', 'new')
      assert.equal((await get('old')).bytes.toString(), 'old')
      assert.deepEqual(await keys('tx-job.master.tx'), ['new', 'old'])
      assert.deepEqual(await keys('master.tx'), ['old'])
      await s3().send(new HeadBucketCommand({ Bucket: 'tx-job.tx' }))
      const { Buckets } = await s3().send(new ListBucketsCommand({}))
      assert.equal(
        Buckets?.some(({ Name }) => Name?.startsWith('tx-')),
        false,
      )
      await bucket('tx-job.master.tx')
      const reply = await commit('tx-job.master.tx', 'the job')
      assert.equal(reply.status, 200, await reply.clone().text())
      assert.equal(reply.headers.get('x-sluice-branch'), 'master')
      assert.deepEqual(await keys('master.tx'), ['new', 'old'])
      assert.deepEqual(await keys(`${reply.headers.get('x-sluice-commit')}.tx`), ['new', 'old'])
      await refused(s3().send(new ListObjectsV2Command({ Bucket: 'tx-job.master.tx' })), 'NoSuchBucket', 404)
      const again = await commit('tx-job.master.tx', 'the job')
      assert.equal(again.headers.get('x-sluice-commit'), reply.headers.get('x-sluice-commit'))
      assert.equal((await commit('tx-job.master.tx', 'another')).status, 404)
    })

    it('answers 409 with the keys where its branch was changed too, and stays', async () => {
      const { put: putOn } = await bucket('master.conflict')
      await putOn('a', 'base')
      const { put } = await bucket('tx-1.conflict')
      await put('a', 'tx')
      await putOn('a', 'branch')
      const reply = await commit('tx-1.conflict', 'x')
      assert.equal(reply.status, 409)
      assert.match(await reply.text(), /<Code>TransactionConflict<\/Code>.*<Keys>a<\/Keys><KeyCount>1<\/KeyCount>/s)
      assert.deepEqual(await keys('tx-1.conflict'), ['a'])
      await s3().send(new DeleteBucketCommand({ Bucket: 'tx-1.conflict' }))
      await refused(s3().send(new DeleteBucketCommand({ Bucket: 'tx-1.conflict' })), 'NoSuchBucket', 404)
      assert.deepEqual(await log('conflict'), [
        ['open', ''],
        ['finished', ''],
      ])
    })

    it('takes uploads, copies and bulk deletes', async () => {
      const { put: putOn } = await bucket('master.ops')
      await putOn('a', 'text')
      await putOn('b', 'text')
      const Bucket = 'tx-ops.master.ops'
      await bucket(Bucket)
      const { UploadId } = await s3().send(new CreateMultipartUploadCommand({ Bucket, Key: 'upload' }))
      const part = { Bucket, Key: 'upload', UploadId, PartNumber: 1 }
      const { ETag } = await s3().send(new UploadPartCommand({ ...part, Body: 'part' }))
      await s3().send(
        new CompleteMultipartUploadCommand({ ...part, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
      )
      await s3().send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: '/master.ops/a' }))
      await s3().send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'a' }, { Key: 'none' }] } }))
      await s3().send(new CopyObjectCommand({ Bucket: 'master.ops', Key: 'out', CopySource: `/${Bucket}/upload` }))
      assert.equal((await commit(Bucket)).status, 200)
      assert.deepEqual(await keys('master.ops'), ['b', 'copy', 'out', 'upload'])
    })

    it('has a name that says what it is, on a branch that is there', async () => {
      await refused(bucket('tx-.master.tx'), 'InvalidBucketName', 400)
      await refused(bucket('tx-a_b.master.tx'), 'InvalidBucketName', 400)
      await refused(bucket('tx-a.none.tx'), 'NoSuchBucket', 404)
      await refused(bucket('tx-a.master.nowhere'), 'NoSuchBucket', 404)
      await refused(bucket('tx-a.nowhere'), 'NoSuchBucket', 404)
      await refused(s3().send(new HeadBucketCommand({ Bucket: 'tx-never.master.tx' })), 'NotFound', 404)
      await refused(objectsIn('tx-never.master.tx', () => server).put('a'), 'NoSuchBucket', 404)
    })
  })

  describe('a Spark job', () => {
    const job = async (name: string, more: { overwrite?: boolean; magic?: boolean; append?: boolean } = {}) => {
      const { overwrite, magic } = more
      const Bucket = `master.${name}`
      const Key = (part: string) => `table/${part}`
      const put = (key: string, Body = 'x') => s3().send(new PutObjectCommand({ Bucket, Key: key, Body }))
      if (overwrite) {
        const old = await keys(Bucket, { Prefix: 'table/' })
        await s3().send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: old.map((key) => ({ Key: key })) } }))
      }
      const parts = [0, 1, 2].map((n) => `${more.append ? 'more' : 'part'}-${n}`)
      if (magic) {
        const uploads = await Promise.all(
          parts.map(async (part) => {
            await put(`table/__magic_job-1/tasks/${part}.pending`)
            const { UploadId } = await s3().send(new CreateMultipartUploadCommand({ Bucket, Key: Key(part) }))
            const upload = { Bucket, Key: Key(part), UploadId, PartNumber: 1 }
            const { ETag } = await s3().send(new UploadPartCommand({ ...upload, Body: part }))
            return { ...upload, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }
          }),
        )
        assert.equal(await flush(name), undefined)
        for (const upload of uploads) await s3().send(new CompleteMultipartUploadCommand(upload))
        await put('table/_SUCCESS', '{}')
        const scratch = await keys(Bucket, { Prefix: 'table/__magic_job-1/' })
        assert.equal(scratch.length, 3)
        await s3().send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: scratch.map((key) => ({ Key: key })) } }))
        return
      }
      await put('table/_temporary/0/')
      for (const part of parts) await put(`table/_temporary/0/_temporary/attempt_1/${part}`, part)
      for (const part of parts) {
        const source = `table/_temporary/0/_temporary/attempt_1/${part}`
        await s3().send(new CopyObjectCommand({ Bucket, Key: Key(part), CopySource: `/${Bucket}/${source}` }))
        await s3().send(new DeleteObjectCommand({ Bucket, Key: source }))
        // A flush in the middle waits; it does not cut the job in two.
        assert.notEqual(await flush(name), undefined)
      }
      await s3().send(new DeleteObjectCommand({ Bucket, Key: 'table/_temporary/0/' }))
      await put('table/_SUCCESS', '')
    }
    const all = ['_SUCCESS', 'part-0', 'part-1', 'part-2'].map((name) => `table/${name}`)

    it('by the file committer is one commit, with nothing of its scratch folder in it', async () => {
      await bucket('master.classic')
      await job('classic')
      assert.equal(await flush('classic'), undefined)
      assert.equal((await log('classic')).length, 1)
      assert.deepEqual(await keys('classic'), all)
    })

    it('by the magic committer is one commit, however late its uploads are completed', async () => {
      await bucket('master.magic')
      await job('magic', { magic: true })
      assert.equal(await flush('magic'), undefined)
      assert.equal((await log('magic')).length, 1)
      assert.deepEqual(await keys('master.magic'), all)
    })

    it('that overwrites or appends is one commit more', async () => {
      await bucket('master.again')
      await job('again')
      await flush('again')
      await job('again', { overwrite: true })
      assert.equal(await flush('again'), undefined)
      assert.deepEqual(await keys('master.again'), all)
      await job('again', { append: true })
      assert.equal(await flush('again'), undefined)
      assert.equal((await log('again')).length, 3)
      assert.equal((await keys('master.again')).length, 7)
    })

    it('that holds a batch is said to, and gives way to a flush that is forced', async () => {
      const { put } = await bucket('master.forced')
      await put('t/_temporary/0/part')
      await put('t/part')
      const open = await flush('forced')
      const found = await server.store.versioning.getCommit(at('forced').repo, open!)
      assert.equal(found.heldBy, 'a job that writes to t/_temporary/')
      assert.equal(await flush('forced', '&force'), undefined)
      assert.equal((await server.send('POST', '/master.forced?flush=&force=maybe')).status, 400)
    })
  })

  describe('the batch of a branch', () => {
    it('gathers what several connections write', async () => {
      await bucket('master.several')
      const clients = [s3(), await secondClient(server)]
      const put = (client: S3Client, Key: string) =>
        client.send(new PutObjectCommand({ Bucket: 'master.several', Key, Body: Key }))
      await Promise.all(clients.flatMap((client, i) => [0, 1, 2].map((n) => put(client, `${i}/${n}`))))
      clients[1]!.destroy()
      assert.equal(await flush('several'), undefined)
      assert.equal((await log('several')).length, 1)
    })

    it('gives a scratch file to one of fifty that ask for it to be new', async () => {
      await bucket('master.lock')
      const put = () =>
        server.send('PUT', '/master.lock/t/_temporary/lock', { body: 'x', headers: { 'if-none-match': '*' } })
      const replies = await Promise.all(Array.from({ length: 50 }, put))
      assert.equal(replies.filter(({ status }) => status === 200).length, 1)
      assert.equal(replies.filter(({ status }) => status === 412).length, 49)
      assert.equal(replies[0]!.headers.get('x-amz-version-id'), null)
      assert.equal(replies[0]!.headers.get('x-sluice-commit'), null)
    })
  })
})

describe('the deletes of a job that overwrites', () => {
  it('make its batch wait, those of others, of markers and of scratch files do not', async () => {
    const server = await startTestServer()
    const { versioning } = server.store
    const told: string[] = []
    const rewriting = versioning.rewriting.bind(versioning)
    versioning.rewriting = (branch) => {
      told.push(branch.branch)
      rewriting(branch)
    }
    await server.send('PUT', '/master.over')
    for (const key of ['a', 'b', 'c', 'dir/', 't/_temporary/x'])
      await server.send('PUT', `/master.over/${key}`, { body: 'x' })
    const remove = (key: string, agent: string) =>
      server.send('DELETE', `/master.over/${key}`, { headers: { 'user-agent': agent } })
    const removeMany = (key: string, agent: string) =>
      server.send('POST', '/master.over?delete=', {
        headers: { 'user-agent': agent },
        body: `<Delete><Object><Key>${key}</Key></Object></Delete>`,
      })
    for (const key of ['dir/', 't/_temporary/x', 'none']) {
      await remove(key, hadoop)
      assert.equal((await removeMany(key, hadoop)).status, 200)
    }
    await remove('a', 'aws-cli/2.31')
    assert.deepEqual(told, [])
    await remove('b', hadoop)
    assert.equal(told.length, 1)
    await removeMany('c', hadoop)
    assert.equal(told.length, 2)
    await server.close()
  })
})

describe('a transaction and a commit', () => {
  it('are for those who may write to the repo, or hold credentials for that very bucket', async () => {
    const server = await startPeopledServer()
    const keys = {
      reader: await server.user('reader'),
      writer: await server.user('writer'),
      none: await server.user('none'),
    }
    await server.send('PUT', '/master.roles')
    await server.grant('reader', 'roles', 'reader')
    await server.grant('writer', 'roles', 'writer')
    const status = async (method: string, path: string, key: SendOptions['key'], body?: string) => {
      const reply = await server.send(method, path, {
        ...(key ? { key } : {}),
        ...(body === undefined ? {} : { body }),
      })
      await reply.text()
      return reply.status
    }
    for (const key of [keys.reader, keys.none]) {
      assert.equal(await status('PUT', '/tx-a.master.roles', key), 403)
      assert.equal(await status('PUT', '/master.roles/.sluice/commit', key, 'x'), 403)
    }
    assert.equal(await status('PUT', '/tx-a.master.roles', keys.writer), 200)
    assert.equal(await status('PUT', '/tx-a.master.roles/k', keys.writer, 'x'), 200)
    for (const key of [keys.reader, keys.none]) {
      assert.equal(await status('PUT', '/tx-a.master.roles/.sluice/commit', key, 'x'), 403)
      assert.equal(await status('DELETE', '/tx-a.master.roles', key), 403)
    }
    assert.equal(await status('GET', '/tx-a.master.roles/k', keys.reader), 200)
    assert.equal(await status('GET', '/tx-a.master.roles/k', keys.none), 403)
    // A writer may end a transaction, and not remove the branch.
    assert.equal(await status('DELETE', '/master.roles', keys.writer), 403)
    assert.equal(await status('DELETE', '/tx-a.master.roles', keys.writer), 204)

    const lent = await server.lend(keys.writer, [{ repo: 'roles', role: 'writer', branch: 'tx-b.master' }])
    const elsewhere = await server.lend(keys.writer, [{ repo: 'roles', role: 'writer', branch: 'master' }])
    assert.equal(await status('PUT', '/tx-b.master.roles', elsewhere), 403)
    assert.equal(await status('PUT', '/tx-b.master.roles', lent), 200)
    assert.equal(await status('PUT', '/tx-b.master.roles/k', lent, 'x'), 200)
    assert.equal(await status('PUT', '/master.roles/k', lent, 'x'), 403)
    assert.equal(await status('PUT', '/tx-c.master.roles', lent), 403)
    assert.equal(await status('PUT', '/tx-b.master.roles/.sluice/commit', elsewhere, 'x'), 403)
    assert.equal(await status('PUT', '/tx-b.master.roles/.sluice/commit', lent, 'done'), 200)
    await server.close()
  })
})

async function secondClient(server: TestServer): Promise<S3Client> {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const { testKey } = await import('./testing/server.ts')
  return new S3Client({ endpoint: server.origin, region: 'us-east-1', forcePathStyle: true, credentials: testKey })
}
