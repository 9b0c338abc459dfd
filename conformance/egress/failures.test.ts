import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { type EveryKind, KINDS, missing, openEveryKind } from './every-kind.ts'
import type { Pushing } from './pushing.ts'
import type { Store } from './stores.ts'

describe('a push that the store refuses', { timeout: 300_000 }, () => {
  let every: EveryKind
  let stores: ReadonlyMap<string, Store>
  let source: Pushing
  let s3: S3Client
  before(async () => {
    every = await openEveryKind()
    ;({ stores, source, s3 } = every)
    await s3.send(new CreateBucketCommand({ Bucket: 'master.input' }))
    await s3.send(new PutObjectCommand({ Bucket: 'master.input', Key: 'file', Body: 'content' }))
    await source.sluice(['flush', 'input@master'])
    for (const [kind, { wrongSecret }] of stores) {
      if (wrongSecret) await source.keepSecret(`${kind}-wrong`, wrongSecret)
    }
  })
  after(() => every?.close())

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

  for (const kind of KINDS) {
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
