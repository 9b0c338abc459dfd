import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { openPushing, type Pushing } from './pushing.ts'
import { connect } from './s3.ts'
import { missingStore, type Store, startStore } from './stores.ts'

const kinds = ['sluice', 'moto', 'gcs', 'azure'] as const
const missing = new Map<string, string | undefined>()
for (const kind of kinds) missing.set(kind, await missingStore(kind))

describe('a push that the store refuses', { timeout: 300_000 }, () => {
  const stores = new Map<string, Store>()
  let source: Pushing
  let s3: S3Client
  before(async () => {
    for (const kind of kinds) if (!missing.get(kind)) stores.set(kind, await startStore(kind))
    source = await openPushing([...stores.values()])
    s3 = connect(source.server)
    await s3.send(new CreateBucketCommand({ Bucket: 'master.input' }))
    await s3.send(new PutObjectCommand({ Bucket: 'master.input', Key: 'file', Body: 'content' }))
    await source.sluice(['flush', 'input@master'])
    for (const [kind, store] of stores) {
      await source.keepSecret(kind, store.secret)
      if (store.wrongSecret) await source.keepSecret(`${kind}-wrong`, store.wrongSecret)
    }
  })
  after(async () => {
    s3?.destroy()
    await source?.close()
    for (const store of stores.values()) await store.stop()
  })

  const storeOf = (kind: string): Store => {
    const store = stores.get(kind)
    assert.ok(store)
    return store
  }

  /** The job fails, says this, and its bucket has no result; once it is put right, a retry makes a success of it. */
  async function failsThenGoesOn(pipeline: string, egress: object, reason: RegExp, repair: () => Promise<void>) {
    await source.createPipeline(pipeline, egress)
    const flushed = await source.sluiceFails(['flush', 'input@master'])
    assert.match(flushed, reason)
    const job = await source.newestJob(pipeline)
    assert.equal(job.state, 'failure')
    assert.match(job.reason ?? '', reason)
    assert.match(await source.sluiceFails(['egress', 'inspect', job.id]), reason)
    await repair()
    await source.sluice(['egress', 'retry', job.id])
    await source.sluice(['flush', 'input@master'])
    assert.equal((await source.newestJob(pipeline)).state, 'success')
    await source.sluice(['pipeline', 'delete', pipeline])
  }

  for (const kind of ['sluice', 'azure'] as const) {
    it(`${kind}: wrong credentials: the job says so, and goes on when the secret is right`, {
      skip: missing.get(kind),
    }, async () => {
      const store = storeOf(kind)
      const egress = { URL: store.urls[0]?.('credentials'), secret: `${kind}-wrong` }
      await failsThenGoesOn(`credentials-${kind}`, egress, /credentials|key/i, () =>
        source.keepSecret(`${kind}-wrong`, store.secret, 'update'),
      )
      assert.deepEqual(Object.keys(await store.files('credentials')), ['file'])
    })
  }

  for (const kind of kinds) {
    it(`${kind}: no such bucket: the job names it, and goes on when it is there`, {
      skip: missing.get(kind),
    }, async () => {
      const store = storeOf(kind)
      const URL = store.urls[0]?.('folder').replace('results', 'nowhere')
      const repair = () => store.makeBucket('nowhere')
      await failsThenGoesOn(`nowhere-${kind}`, { URL, secret: kind }, /nowhere.*create it/i, repair)
    })
  }

  it('a loopback target that is not allowed is refused at create, with the setting that allows it', async () => {
    const keys = { options: ['--access-key', 'a', '--endpoint', 'http://127.0.0.1:9'], input: 'b' }
    await source.keepSecret('closed', keys)
    const egress = { URL: 's3://127.0.0.1:9/results/folder', secret: 'closed' }
    await assert.rejects(source.createPipeline('closed', egress), /SLUICE_ALLOW_TARGETS/)
    const run = ['egress', 'run', 'input@master', 's3://127.0.0.1:9/results/folder', '--secret', 'closed']
    assert.match(await source.sluiceFails(run), /SLUICE_ALLOW_TARGETS/)
  })
})
