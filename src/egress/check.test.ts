import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createTargetGuard, type SecretInfo, SecretNotFound } from '../cloud/index.ts'
import { InvalidInput, systemClock } from '../kernel/index.ts'
import { checkEgress } from './check.ts'
import { PLAIN_SETTINGS } from './settings.ts'

const common = { createdMs: 0, updatedMs: 0 }
const s3 = { ...common, kind: 's3', accessKeyId: 'id' } as const
const azure = { ...common, kind: 'azure', account: 'acc', signsWith: 'shared access signature' } as const

const known: Readonly<Record<string, SecretInfo>> = {
  minio: { ...s3, name: 'minio', endpoint: 'https://minio.corp:9000' },
  open: { ...s3, name: 'open', endpoint: 'http://minio.corp:9000' },
  plain: { ...s3, name: 'plain' },
  google: { ...common, name: 'google', kind: 'gcs', clientEmail: 'x@project.iam.gserviceaccount.com' },
  azure: { ...azure, name: 'azure' },
  ending: { ...azure, name: 'ending', expiresMs: systemClock.now() + 60_000 },
  emulator: { ...azure, name: 'emulator', endpoint: 'http://127.0.0.1:10000/acc' },
}

const check = (egress: unknown, { allow = ['127.0.0.1:9000'], defaultCredentials = false } = {}) =>
  checkEgress(egress, {
    secrets: {
      inspect: async (name) => {
        const secret = known[name]
        if (!secret) throw new SecretNotFound(name)
        return secret
      },
    },
    guard: createTargetGuard({
      allowTargets: allow,
      lookup: (host, _, callback) => {
        if (host === 'minio.corp' || host === 'acc.blob.core.windows.net') {
          callback(null, [{ address: '10.0.0.5', family: 4 }])
        } else if (host === 'silent.corp') return
        else if (host === 'metadata.corp') callback(null, [{ address: '169.254.169.254', family: 4 }])
        else if (/^[\d.]+$/.test(host)) callback(null, [{ address: host, family: 4 }])
        else callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
      },
    }),
    clock: systemClock,
    defaultCredentials,
  })

const refused = (egress: unknown, message: RegExp, options?: Parameters<typeof check>[1]) =>
  assert.rejects(check(egress, options), (error) => {
    assert.ok(error instanceof InvalidInput)
    assert.match(error.message, message)
    return true
  })

describe("a spec's egress", () => {
  it('is said back in its normal form', async () => {
    assert.deepEqual(await check({ URL: 's3://bucket/dir/', secret: 'plain' }), {
      url: 's3://bucket/dir',
      secret: 'plain',
      settings: PLAIN_SETTINGS,
      notes: ['egress goes to s3://bucket/dir (Amazon S3, bucket bucket, folder dir)'],
    })
    assert.deepEqual(await check({ URL: 's3://bucket/dir', secret: 'minio' }), {
      url: 's3://minio.corp:9000/bucket/dir',
      secret: 'minio',
      settings: PLAIN_SETTINGS,
      notes: [
        'egress goes to s3://minio.corp:9000/bucket/dir (endpoint https://minio.corp:9000, bucket bucket, folder dir)',
      ],
    })
  })

  it('names an unknown field, and the one that was meant', async () => {
    await refused({ url: 's3://bucket', secret: 'plain' }, /egress\.url is not known; did you mean egress\.URL\?/)
    await refused(
      { URL: 's3://bucket', secrets: 'plain' },
      /egress\.secrets is not known; did you mean egress\.secret\?/,
    )
    await refused(
      { URL: 's3://bucket', sql_database: {} },
      /egress\.sql_database: tables as a target come in a later release/,
    )
    await refused({ ['__proto__x']: 1 }, /is not known; egress has URL, object_storage, secret, layout, keep, /)
    await refused({ URL: 's3://bucket', region: 'x' }, /egress\.region is not known; egress has URL, /)
  })

  it('is an object with a URL', async () => {
    for (const egress of ['s3://bucket', null, [], 5]) await refused(egress, /egress is an object/)
    await refused({ secret: 'plain' }, /egress\.URL is missing/)
    await refused({ URL: 5, secret: 'plain' }, /egress\.URL is not a string: write s3:/)
    await refused({ URL: 's3://bucket', secret: 5 }, /egress\.secret is the name of a secret/)
  })

  it('is said back in its normal form for every kind of target', async () => {
    const noted = async (url: string, secret: string, allow: string[] = []) =>
      (await check({ URL: url, secret }, { allow })).notes
    assert.deepEqual(await noted('gs://bucket/dir/', 'google'), [
      'egress goes to gs://bucket/dir (Google Cloud Storage, bucket bucket, folder dir)',
    ])
    assert.deepEqual(await noted('wasb://container@acc/dir', 'azure'), [
      'egress goes to wasbs://container@acc.blob.core.windows.net/dir (Azure Blob Storage at https://acc.blob.core.windows.net, account acc, container container, folder dir)',
      'wasb:// and abfs:// are reached by https all the same',
    ])
    assert.deepEqual(await noted('azblob://container', 'emulator', ['127.0.0.1:10000']), [
      'egress goes to wasbs://container@acc (Azure Blob Storage at http://127.0.0.1:10000/acc, account acc, container container)',
    ])
    const [first] = await noted('minio://127.0.0.1:9000/bucket', 'plain', ['127.0.0.1:9000'])
    assert.match(first!, /^egress goes to s3:\/\/127\.0\.0\.1:9000\/bucket \(endpoint http:/)
  })

  it('says where the way to it is not encrypted', async () => {
    const { notes } = await check({ URL: 's3://bucket/dir', secret: 'open' })
    assert.match(notes[1]!, /http:\/\/minio\.corp:9000 is not encrypted: files can be read on their way/)
    assert.equal((await check({ URL: 's3://127.0.0.1:9000/bucket', secret: 'plain' })).notes.length, 1)
  })

  it("may be Pachyderm's object_storage", async () => {
    const checked = await check({ object_storage: { url: 's3://bucket/dir' }, secret: 'plain', success: true })
    assert.deepEqual([checked.url, checked.settings.success], ['s3://bucket/dir', true])
    assert.equal(checked.notes[1], 'egress.object_storage.url is read as egress.URL')
    const secret = 'plain'
    await refused({ object_storage: { url: 's3://b', secret } }, /write it beside object_storage: egress\.secret/)
    await refused(
      { object_storage: { url: 's3://bucket', path: 'x' }, secret },
      /object_storage has url and nothing else/,
    )
    await refused({ object_storage: {}, secret }, /egress\.object_storage\.url is missing/)
    await refused({ object_storage: 's3://bucket', secret }, /egress\.object_storage is an object/)
    await refused({ URL: 's3://bucket', object_storage: { url: 's3://bucket' }, secret }, /both URL and object_storage/)
    await refused({ objectStorage: { url: 's3://bucket' }, secret }, /did you mean egress\.object_storage\?/)
  })

  it('says how the target is to be filled, and refuses what does not fit it', async () => {
    const { settings } = await check({ URL: 's3://bucket/dir', secret: 'plain', layout: 'commit', parallel: 4 })
    assert.deepEqual([settings.layout, settings.parallel], ['commit', 4])
    await refused({ URL: 's3://bucket', secret: 'plain', layout: 'other' }, /egress\.layout/)
    const { notes } = await check({ URL: 's3://bucket', secret: 'minio', manifest: true })
    assert.match(notes[1]!, /Redshift reads from Amazon S3 only, not from https:\/\/minio\.corp:9000/)
  })

  it('needs a secret of its own service', async () => {
    await refused({ URL: 'wasb://c3c@acc/dir', secret: 'google' }, /but secret google is for Google Cloud Storage/)
    await refused({ URL: 's3://bucket', secret: 'azure' }, /but secret azure is for Azure Blob Storage/)
    await refused({ URL: 'gs://bucket', secret: 'plain' }, /but secret plain is for Amazon S3/)
  })

  it("never takes a secret to another account, or to an account of that name in another of Azure's clouds", async () => {
    await refused({ URL: 'wasb://con@other/dir', secret: 'azure' }, /names the storage account other, but its secret/)
    await refused(
      { URL: 'wasbs://con@acc.blob.core.chinacloudapi.cn/dir', secret: 'azure' },
      /but its secret is for https:\/\/acc\.blob\.core\.windows\.net only/,
    )
  })

  it('says when its secret is about to end', async () => {
    const { notes } = await check({ URL: 'azblob://container', secret: 'ending' })
    assert.match(notes[1]!, /shared access signature of secret ending expires on/)
  })

  it('needs a secret that exists, and says how to make it', async () => {
    await refused({ URL: 's3://bucket', secret: 'nope' }, /no secret "nope": sluice secret create nope --access-key …/)
    await refused(
      { URL: 's3://bucket' },
      /egress\.secret is missing: .*sluice secret create NAME.*SLUICE_EGRESS_DEFAULT_CREDENTIALS=on/,
    )
    await refused({ URL: 'gs://bucket', secret: 'nope' }, /sluice secret create nope --service-account FILE/)
    await refused({ URL: 'wasb://con@acc', secret: 'nope' }, /sluice secret create nope --account …/)
    for (const URL of ['s3://bucket', 'gs://bucket']) {
      assert.equal((await check({ URL }, { defaultCredentials: true })).secret, undefined)
    }
    await refused({ URL: 'wasb://con@acc' }, /the identity of the host does not reach Azure/, {
      defaultCredentials: true,
    })
  })

  it('holds no credentials', async () => {
    await assert.rejects(check({ URL: 's3://AKIA:hunter2@bucket', secret: 'plain' }), (error) => {
      assert.ok(error instanceof InvalidInput)
      assert.match(error.message, /holds credentials/)
      assert.ok(!JSON.stringify([error.message, error.data]).includes('hunter2'))
      return true
    })
  })

  it('reaches closed targets only where they are allowed', async () => {
    await check({ URL: 's3://127.0.0.1:9000/bucket', secret: 'plain' })
    await refused({ URL: 's3://127.0.0.1:9001/bucket', secret: 'plain' }, /SLUICE_ALLOW_TARGETS=127\.0\.0\.1:9001/)
    await refused(
      { URL: 's3://metadata.corp:80/bucket', secret: 'plain' },
      /metadata\.corp:80 \(169\.254\.169\.254\) .*SLUICE_ALLOW_TARGETS/,
    )
  })

  it('may name a host that does not resolve yet, and says so', async () => {
    const { notes } = await check({ URL: 's3://soon.corp:9000/bucket', secret: 'plain' })
    assert.equal(notes[1], 'soon.corp does not resolve now (ENOTFOUND): pushes fail until it does')
  })

  it('does not wait for a name server that never answers', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const checking = check({ URL: 's3://silent.corp:9000/bucket', secret: 'plain' })
    // Until it has come to the look-up.
    await new Promise(setImmediate)
    t.mock.timers.tick(60_000)
    assert.match((await checking).notes[1]!, /silent\.corp does not resolve now/)
  })
})
