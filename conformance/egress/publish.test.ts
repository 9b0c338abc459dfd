import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'
import { missingTool } from '../support.ts'
import { openPushing, type Pushing } from './pushing.ts'
import { connect } from './s3.ts'
import { shownIn } from './shown.ts'
import { BUCKET, missingStore, type Store, startStore } from './stores.ts'

const missing = await missingStore('moto')
const tables = join(import.meta.dirname, 'egress_tables.py')
const missingDuckdb = missing ?? (await missingTool('python3', [tables, 'probe']))

describe('what is published beside the data', { skip: missing, timeout: 300_000 }, () => {
  let store: Store
  let source: Pushing
  let from: S3Client
  let to: S3Client
  before(async () => {
    store = await startStore('moto')
    source = await openPushing([store])
    await source.keepSecret('store', store.secret)
    from = connect(source.server)
    to = new S3Client({
      endpoint: `http://${store.host}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'moto', secretAccessKey: 'moto' },
      maxAttempts: 1,
    })
    await from.send(new CreateBucketCommand({ Bucket: 'master.input' }))
  })
  after(async () => {
    from?.destroy()
    to?.destroy()
    await source?.close()
    await store?.stop()
  })

  const put = (Key: string, Body: string | Buffer) =>
    from.send(new PutObjectCommand({ Bucket: 'master.input', Key, Body }))
  const read = async (Key: string) => {
    const { Body } = await to.send(new GetObjectCommand({ Bucket: BUCKET, Key }))
    return (await Body?.transformToString()) ?? ''
  }
  const list = async (Prefix: string) => {
    const keys: string[] = []
    for await (const page of paginateListObjectsV2({ client: to }, { Bucket: BUCKET, Prefix }))
      for (const { Key = '' } of page.Contents ?? []) keys.push(Key.slice(Prefix.length))
    return keys
  }
  const placed = (folder: string) => ({ URL: `s3://${BUCKET}/${folder}`, secret: 'store' })

  /** Every rule that AWS documents for the manifests of COPY, and the length of every file as the store has it. */
  async function checkManifest(text: string, expected: readonly string[]) {
    const manifest = JSON.parse(text)
    assert.deepEqual(Object.keys(manifest), ['entries'])
    for (const entry of manifest.entries) {
      assert.deepEqual(Object.keys(entry).sort(), ['mandatory', 'meta', 'url'])
      assert.equal(entry.mandatory, true)
      assert.deepEqual(Object.keys(entry.meta), ['content_length'])
      // The whole name of one object, not a prefix.
      const [, bucket, Key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(entry.url) ?? []
      const head = await to.send(new HeadObjectCommand({ Bucket: bucket, Key }))
      assert.equal(entry.meta.content_length, head.ContentLength, entry.url)
      assert.ok(entry.meta.content_length > 0, entry.url)
    }
    assert.deepEqual(
      manifest.entries.map(({ url }: { url: string }) => url),
      expected,
    )
  }

  it('a manifest has the form that AWS documents, and the true length of every file', async () => {
    await put('north/a.csv', 'n,1\n')
    await put('north/b.csv', 'n,22\n')
    await put('ü b.csv', 'x,333\n')
    await put('empty.csv', Buffer.alloc(0))
    await put('north/', Buffer.alloc(0))
    await source.createPipeline('listed', {
      ...placed('listed'),
      manifest: ['all.json', { path: 'north.json', glob: '/north/*' }],
      success: true,
    })
    await source.sluice(['flush', 'input@master'])
    const north = [`s3://${BUCKET}/listed/north/a.csv`, `s3://${BUCKET}/listed/north/b.csv`]
    await checkManifest(await read('listed/all.json'), [...north, `s3://${BUCKET}/listed/ü b.csv`])
    await checkManifest(await read('listed/north.json'), north)
    assert.equal(await read('listed/_SUCCESS'), '')
    await source.sluice(['pipeline', 'delete', 'listed'])
  })

  it('what is new at the store when a commit is published: data, then manifest, then _SUCCESS, each once', async () => {
    await source.createPipeline('ordered', { ...placed('ordered'), manifest: 'm.json', success: true })
    await source.sluice(['flush', 'input@master'])
    const order = store.log
      .writes()
      .filter((line) => line.includes(`PUT /${BUCKET}/ordered/`))
      .map((line) => line.replace(/^.*ordered\//, '').replace(/\?.*/, ''))
    assert.deepEqual(order.slice(-2), ['m.json', '_SUCCESS'])
    assert.equal(new Set(order).size, order.length)
    await source.sluice(['pipeline', 'delete', 'ordered'])
  })

  it('DuckDB loads exactly the files that the manifest of the guide for Redshift names', {
    skip: missingDuckdb,
  }, async () => {
    const python = (environment: Record<string, string>, ...args: string[]) =>
      source.ok('python3', [tables, ...args], { environment: { ...source.server.clientEnvironment, ...environment } })
    await python({}, 'write', 's3://master.input/sales')
    await source.createPipeline('loaded', shownIn('redshift', 0, placed('loaded')))
    await source.sluice(['flush', 'input@master'])
    const { manifest } = shownIn('redshift', 0, placed('loaded')) as { manifest: { path: string } }
    const target = {
      AWS_ENDPOINT_URL: `http://${store.host}`,
      AWS_ACCESS_KEY_ID: 'moto',
      AWS_SECRET_ACCESS_KEY: 'moto',
    }
    const loaded = await python(target, 'load', `s3://${BUCKET}/loaded/${manifest.path}`)
    assert.deepEqual(JSON.parse(loaded), { files: 2, rows: 1000, total: 499500 })
    await source.sluice(['pipeline', 'delete', 'loaded'])
  })

  it('a reader that follows `latest` sees whole commits, and only those, while commits come', async () => {
    const commits = 6
    const files = 12
    const generation = async (n: number) => {
      const names = Array.from({ length: files }, (_, index) => `gen/${index}`)
      // Of another name each time, so that a mix of two commits can't look whole.
      await Promise.all([...names.map((name) => put(name, `${n}`)), put(`gen/only-${n}`, `${n}`)])
      if (n > 0) await from.send(new PutObjectCommand({ Bucket: 'master.input', Key: `gen/of-${n - 1}`, Body: `${n}` }))
    }
    await source.createPipeline('atomic', {
      ...shownIn('redshift', 1, placed('atomic')),
      keep: 4,
      success: true,
      manifest: { path: '_m.json', glob: '/gen/*' },
    })
    await generation(0)
    await source.sluice(['flush', 'input@master'])

    let over = false
    const seen = new Set<string>()
    const reader = (async () => {
      let reads = 0
      while (!over) {
        const folder = (await read('atomic/latest')).trim()
        const keys = await list(`atomic/${folder}/gen/`)
        const values = await Promise.all(keys.map((key) => read(`atomic/${folder}/gen/${key}`)))
        const shared = keys.filter((key) => /^\d+$/.test(key)).map((key) => values[keys.indexOf(key)])
        assert.equal(shared.length, files, `${folder} has all files: ${keys.join(', ')}`)
        assert.equal(new Set(shared).size, 1, `${folder} is of one commit: ${shared.join(', ')}`)
        assert.ok(keys.includes(`only-${shared[0]}`))
        await to.send(new HeadObjectCommand({ Bucket: BUCKET, Key: `atomic/${folder}/_SUCCESS` }))
        const swapped = JSON.parse(await read('atomic/_m.json')) as { entries: { url: string }[] }
        for (const { url } of swapped.entries) await read(url.replace(`s3://${BUCKET}/`, ''))
        seen.add(folder)
        reads++
      }
      return reads
    })()
    const failed = reader.then(
      () => undefined,
      (error: unknown) => error,
    )
    for (let n = 1; n < commits; n++) {
      await generation(n)
      await source.sluice(['flush', 'input@master'])
    }
    over = true
    const error = await failed
    if (error) throw error
    assert.ok((await reader) >= commits, `read ${await reader} times`)
    assert.ok(seen.size > 1, 'the reader saw more than one commit')
    const folders = new Set(
      (await list('atomic/')).map((key) => key.split('/')[0] ?? '').filter((name) => /^[0-9a-f]{32}$/.test(name)),
    )
    assert.equal(folders.size, 4)
    await source.sluice(['pipeline', 'delete', 'atomic'])
  })
})
