import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createTargetGuard, type SecretInfo, SecretNotFound } from '../cloud/index.ts'
import { InvalidInput } from '../kernel/index.ts'
import { checkEgress } from './check.ts'

const known: Readonly<Record<string, Partial<SecretInfo>>> = {
  minio: { endpoint: 'https://minio.corp:9000' },
  plain: {},
}

const check = (egress: unknown, { allow = ['127.0.0.1:9000'], defaultCredentials = false } = {}) =>
  checkEgress(egress, {
    secrets: {
      inspect: async (name) => {
        const secret = known[name]
        if (!secret) throw new SecretNotFound(name)
        return { name, kind: 's3', accessKeyId: 'id', createdMs: 0, ...secret }
      },
    },
    guard: createTargetGuard({
      allowTargets: allow,
      lookup: (host, _, callback) => {
        if (host === 'minio.corp') callback(null, [{ address: '10.0.0.5', family: 4 }])
        else if (host === 'metadata.corp') callback(null, [{ address: '169.254.169.254', family: 4 }])
        else if (/^[\d.]+$/.test(host)) callback(null, [{ address: host, family: 4 }])
        else callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
      },
    }),
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
      notes: ['egress goes to s3://bucket/dir (Amazon S3, bucket bucket, folder dir)'],
    })
    assert.deepEqual(await check({ URL: 's3://bucket/dir', secret: 'minio' }), {
      url: 's3://minio.corp:9000/bucket/dir',
      secret: 'minio',
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
    await refused({ ['__proto__x']: 1 }, /is not known/)
  })

  it('is an object with a URL', async () => {
    for (const egress of ['s3://bucket', null, [], 5]) await refused(egress, /egress is an object/)
    await refused({ secret: 'plain' }, /egress\.URL is missing/)
    await refused({ URL: 5, secret: 'plain' }, /egress\.URL is missing/)
    await refused({ URL: 's3://bucket', secret: 5 }, /egress\.secret is the name of a secret/)
  })

  it('says what comes later', async () => {
    await refused(
      { URL: 'gs://bucket/dir', secret: 'plain' },
      /gs:\/\/bucket\/dir: Google Cloud Storage .* later release; s3:\/\/ works now/,
    )
    await refused({ URL: 'wasb://c@account/dir', secret: 'plain' }, /Azure Blob Storage .* later release/)
  })

  it('needs a secret that exists, and says how to make it', async () => {
    await refused(
      { URL: 's3://bucket', secret: 'nope' },
      /no secret "nope": sluice secret create nope --access-key … --secret-key …/,
    )
    await refused(
      { URL: 's3://bucket' },
      /egress\.secret is missing: .*sluice secret create NAME.*SLUICE_EGRESS_DEFAULT_CREDENTIALS=on/,
    )
    assert.equal((await check({ URL: 's3://bucket' }, { defaultCredentials: true })).secret, undefined)
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
})
