import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidInput } from '../kernel/index.ts'
import { parseEndpoint, parseTargetUrl } from './target-url.ts'

const parse = (url: string, endpoint?: string) => {
  const target = parseTargetUrl(url, { endpoint })
  assert.equal(target.kind, 's3')
  return target
}

describe('a target URL', () => {
  it('names a bucket of Amazon S3 unless its first part is an endpoint', () => {
    assert.deepEqual(parse('s3://bucket/dir/deeper/'), {
      kind: 's3',
      endpoint: undefined,
      bucket: 'bucket',
      folder: 'dir/deeper',
      url: 's3://bucket/dir/deeper',
      identity: 's3://bucket/dir/deeper',
    })
    assert.deepEqual(parse('S3://minio.corp:9000/Bucket_1'), {
      kind: 's3',
      endpoint: 'https://minio.corp:9000',
      bucket: 'Bucket_1',
      folder: '',
      url: 's3://minio.corp:9000/Bucket_1',
      identity: 'https://minio.corp:9000/Bucket_1',
    })
  })

  it('is reached by https, on loopback by http', () => {
    for (const [url, endpoint] of [
      ['s3://localhost/b', 'http://localhost'],
      ['s3://localhost:9000/b', 'http://localhost:9000'],
      ['s3://127.0.0.1:9000/b', 'http://127.0.0.1:9000'],
      ['s3://127.5.5.5/b', 'http://127.5.5.5'],
      ['s3://[::1]:9000/b', 'http://[::1]:9000'],
      ['s3://10.0.0.7/b', 'https://10.0.0.7'],
      ['s3://10.0.0.7:443/b', 'https://10.0.0.7'],
      ['s3://[2001:db8::1]/b', 'https://[2001:db8::1]'],
      ['s3://Store.Example.COM:8443/b', 'https://store.example.com:8443'],
    ] as const) {
      assert.equal(parse(url).kind === 's3' && (parse(url) as { endpoint?: string }).endpoint, endpoint, url)
    }
  })

  it('takes its endpoint from the secret, with or without naming it, and is the same place', () => {
    const endpoint = 'http://minio.corp:9000'
    const named = parse('s3://minio.corp/bucket/dir', endpoint)
    assert.deepEqual(parse('s3://bucket/dir', endpoint), named)
    assert.deepEqual(parse('s3://minio.corp:9000/bucket/dir', endpoint), named)
    assert.deepEqual(parse(named.url, endpoint), named)
    assert.equal(named.url, 's3://minio.corp:9000/bucket/dir')
    assert.equal(parse('s3://minio.corp/bucket/dir').url, 's3://minio.corp/bucket/dir')
  })

  it('never sends a secret to another endpoint than its own', () => {
    assert.throws(() => parse('s3://evil.example:9000/b', 'https://minio.corp'), /is for https:\/\/minio\.corp only/)
    assert.throws(() => parse('s3://127.0.0.1/b', 'https://minio.corp'), InvalidInput)
  })

  it('is refused with what is wrong, and without what could be a password', () => {
    for (const [url, message] of [
      ['bucket/dir', /is not a URL/],
      ['http://bucket/dir', /scheme/],
      ['s3a://bucket/dir', /write s3:\/\/bucket\/dir/],
      ['s3://', /names no bucket/],
      ['s3://localhost:9000', /names no bucket/],
      ['s3://127.0.0.1/', /names no bucket/],
      ['s3://bucket//dir', /empty segment/],
      ['s3://bucket/../dir', /'\.\.'/],
      ['s3://bucket/dir?x=1', /\?/],
      ['s3://bucket/dir#x', /#/],
      ['s3://bucket/a b', /space/],
      ['s3://bucket/a\\b', /backslash/],
      ['s3://bucket/a\nb', /control/],
      ['s3://BUCKET/dir', /does not allow: BUCKET/],
      ['s3://my_bucket/dir', /does not allow/],
      ['s3://b/dir', /3 to 63/],
      ['s3://host:0/bucket', /port/],
      ['s3://host:99999/bucket', /port/],
      ['s3://[::zz]/bucket', /host or port/],
      ['s3://s3.eu-central-1.amazonaws.com/bucket', /leave it out/],
    ] as const) {
      assert.throws(() => parseTargetUrl(url), { name: 'InvalidInput', message }, url)
    }
    for (const url of [
      's3://AKIA:hunter2@bucket/dir',
      's3a://AKIA:hunter2@bucket',
      'gs://x:hunter2@b',
      'ftp://u:hunter2@h/',
    ]) {
      assert.throws(
        () => parseTargetUrl(url),
        (error: Error) =>
          error instanceof InvalidInput && !JSON.stringify([error.message, error.data]).includes('hunter2'),
      )
    }
  })

  it('is told apart from those that come later', () => {
    for (const [url, service, normal] of [
      ['gs://bucket/dir/', 'Google Cloud Storage', 'gs://bucket/dir'],
      ['wasb://container@account/dir', 'Azure Blob Storage', 'wasb://container@account/dir'],
      [
        'abfss://c@account.dfs.core.windows.net/dir',
        'Azure Blob Storage',
        'abfss://c@account.dfs.core.windows.net/dir',
      ],
      ['azblob://c@a', 'Azure Blob Storage', 'azblob://c@a'],
    ] as const) {
      const target = parseTargetUrl(url)
      assert.ok(target.kind !== 's3')
      assert.deepEqual([target.service, target.url], [service, normal])
    }
    assert.throws(() => parseTargetUrl('gs://'), /form gs:\/\/bucket\/folder/)
    assert.throws(() => parseTargetUrl('wasb://container/dir'), /form wasb:\/\/container@account\/folder/)
  })
})

describe('an endpoint', () => {
  it('has one normal form', () => {
    assert.equal(parseEndpoint('HTTPS://Minio.Corp:443/'), 'https://minio.corp')
    assert.equal(parseEndpoint('http://127.0.0.1:9000'), 'http://127.0.0.1:9000')
    assert.equal(parseEndpoint('http://[::1]:80'), 'http://[::1]')
  })
  it('is nothing but scheme, host and port', () => {
    for (const text of [
      'minio.corp',
      'ftp://x',
      'https://u:p@x',
      'https://x/path',
      'https://x?y',
      'https://x:0',
      'https://',
    ]) {
      assert.throws(() => parseEndpoint(text), InvalidInput, text)
    }
  })
})
