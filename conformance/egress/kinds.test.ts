import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { drawChangedPicture, drawPictures } from '../../examples/pictures.ts'
import { repository } from '../server.ts'
import { type EveryKind, missing, openEveryKind } from './every-kind.ts'
import type { Pushing } from './pushing.ts'
import { contents, hashes } from './s3.ts'
import type { Store } from './stores.ts'

const kinds = [
  { kind: 'sluice', forms: ['s3-endpoint', 's3-secret', 'object-storage'] },
  { kind: 'moto', forms: ['minio', 's3-secret'] },
  { kind: 'gcs', forms: ['gs', 'object-storage'] },
  { kind: 'azure', forms: ['wasbs', 'abfss', 'azblob'] },
] as const

const pipelineOf = (kind: string, form: string) => `edges-${kind}-${form}`
const folderOf = (form: string) => `of/${form}`

describe('the example pipeline, pushed to each kind of store', { timeout: 300_000 }, () => {
  let every: EveryKind
  let stores: ReadonlyMap<string, Store>
  let source: Pushing
  let s3: S3Client
  const told = new Map<string, string>()
  before(async () => {
    every = await openEveryKind()
    ;({ stores, source, s3 } = every)
    await s3.send(new CreateBucketCommand({ Bucket: 'master.images' }))
    for (const { name, bytes } of await drawPictures()) await put(name, bytes)
    const example = JSON.parse(await readFile(join(repository, 'examples/edges/pipeline.json'), 'utf8'))
    const transform = { ...example.transform, working_dir: join(repository, 'examples/edges') }
    for (const { kind, forms } of kinds) {
      const store = stores.get(kind)
      if (!store) continue
      for (const [index, form] of forms.entries()) {
        const url = (store.urls[index] ?? store.urls[0])?.(folderOf(form))
        const egress =
          form === 'object-storage' ? { object_storage: { url }, secret: kind } : { URL: url, secret: kind }
        const name = pipelineOf(kind, form)
        told.set(name, await source.createPipeline(name, egress, { ...example, pipeline: { name }, transform }))
      }
    }
    await source.sluice(['flush', 'images@master'])
  })
  after(() => every?.close())

  const put = (Key: string, Body: Buffer) => s3.send(new PutObjectCommand({ Bucket: 'master.images', Key, Body }))
  const served = async (pipeline: string) => hashes(await contents(s3, `master.${pipeline}`))
  /** Of each form whose store is here. */
  const each = (promise: string, check: (store: Store, pipeline: string, form: string) => Promise<void>) => {
    for (const { kind, forms } of kinds) {
      for (const form of forms) {
        it(`${kind}, ${form}: ${promise}`, { skip: missing.get(kind) }, async () => {
          const store = stores.get(kind)
          assert.ok(store)
          await check(store, pipelineOf(kind, form), form)
        })
      }
    }
  }

  each('says back at create where the results go', async (_, pipeline) => {
    assert.match(told.get(pipeline) ?? '', /egress goes to (s3|gs|wasbs):\/\//)
  })

  each(
    'the store holds what the S3 endpoint serves, byte for byte, and nothing else',
    async (store, pipeline, form) => {
      const { state, reason, egress } = await source.newestJob(pipeline)
      assert.equal(state, 'success', reason)
      assert.equal(egress?.filesDone, 5)
      const files = await served(pipeline)
      assert.equal(Object.keys(files).length, 5)
      assert.deepEqual(await store.files(folderOf(form)), files)
    },
  )

  describe('one picture changed, one new, one gone', () => {
    before(async () => {
      for (const store of stores.values()) store.log.forget()
      const changed = await drawChangedPicture()
      await put(changed.name, changed.bytes)
      await put('new.png', changed.bytes)
      await s3.send(new DeleteObjectCommand({ Bucket: 'master.images', Key: 'fog.png' }))
      await source.sluice(['flush', 'images@master'])
    })

    each('the store follows, and what did not change is not sent again', async (store, pipeline, form) => {
      const { state, reason, egress } = await source.newestJob(pipeline)
      assert.equal(state, 'success', reason)
      assert.deepEqual([egress?.filesDone, egress?.filesSkipped, egress?.filesDeleted], [2, 3, 1])
      const files = await served(pipeline)
      assert.deepEqual(Object.keys(files), ['a.png', 'board.png', 'figures.png', 'flower.png', 'new.png'])
      assert.deepEqual(await store.files(folderOf(form)), files)
      const writes = store.log.writes().filter((line) => line.includes(folderOf(form)))
      assert.ok(
        writes.some((line) => line.includes(`${folderOf(form)}/a.png`)),
        writes.join('\n'),
      )
      const again = writes.filter((line) => /board|figures|flower/.test(line))
      assert.deepEqual(again, [])
    })
  })
})
