import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { InvalidInput } from '../kernel/index.ts'
import { locationOf } from './target.ts'
import { parseTargetUrl } from './target-url.ts'
import { parseAzureEndpoint } from './urls/azure.ts'
import type { SecretHint } from './urls/hint.ts'
import { hostAndPort, parseEndpoint } from './urls/host.ts'

const parse = (url: string, endpoint?: string) => {
  const target = parseTargetUrl(url, { endpoint })
  assert.equal(target.kind, 's3')
  return target
}

const azure = (url: string, hint: SecretHint = {}) => {
  const target = parseTargetUrl(url, hint)
  assert.ok(target.kind === 'azure')
  return target
}

describe('the URL of an S3 target', () => {
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
      assert.equal(parse(url).endpoint, endpoint, url)
    }
  })

  it('takes its endpoint from the secret, with or without naming it, and is the same place', () => {
    const endpoint = 'http://minio.corp:9000'
    const named = parse('s3://minio.corp/bucket/dir', endpoint)
    assert.deepEqual(parse('s3://bucket/dir', endpoint), named)
    assert.deepEqual(parse('s3://minio.corp:9000/bucket/dir', endpoint), named)
    assert.deepEqual(parse('minio://minio.corp/bucket/dir', endpoint), named)
    assert.deepEqual(parse(named.url, endpoint), named)
    assert.equal(named.url, 's3://minio.corp:9000/bucket/dir')
    assert.equal(parse('s3://minio.corp/bucket/dir').url, 's3://minio.corp/bucket/dir')
    const plain = 'http://minio.corp'
    assert.deepEqual(parse('s3://minio.corp:80/bucket', plain), parse('s3://bucket', plain))
  })

  it('keeps a port in its normal form where the host would be read as a bucket without it', () => {
    for (const [url, normal] of [
      ['s3://store.example.com:443/b', 's3://store.example.com:443/b'],
      ['minio://store.example.com/b/dir', 's3://store.example.com:443/b/dir'],
      ['minio://minio/b', 's3://minio:443/b'],
      ['s3://10.0.0.7:443/b', 's3://10.0.0.7/b'],
    ] as const) {
      assert.equal(parse(url).url, normal)
      assert.deepEqual(parse(normal), parse(url))
    }
  })

  it('may be written with minio://, whose first part always is the endpoint', () => {
    assert.deepEqual(parse('minio://minio:9000/b/dir'), parse('s3://minio:9000/b/dir'))
    assert.deepEqual(parse('minio://localhost:9000/b'), parse('s3://localhost:9000/b'))
    assert.throws(() => parse('minio://host'), /names no bucket: write minio:\/\/host\/bucket/)
    assert.throws(() => parse('minio://bad_host:x/b'), /host or port/)
  })

  it('never sends a secret to another endpoint than its own', () => {
    assert.throws(() => parse('s3://evil.example:9000/b', 'https://minio.corp'), /is for https:\/\/minio\.corp only/)
    assert.throws(() => parse('minio://evil.example/b', 'https://minio.corp'), /is for https:\/\/minio\.corp only/)
    assert.throws(() => parse('s3://127.0.0.1/b', 'https://minio.corp'), InvalidInput)
  })
})

describe('the URL of a Google target', () => {
  it('names a bucket, and the secret another endpoint', () => {
    const target = {
      kind: 'gcs',
      endpoint: undefined,
      bucket: 'my_bucket.example.com',
      folder: 'dir/deeper',
      url: 'gs://my_bucket.example.com/dir/deeper',
      identity: 'gs://my_bucket.example.com/dir/deeper',
    }
    assert.deepEqual(parseTargetUrl('GS://my_bucket.example.com/dir/deeper/'), target)
    const endpoint = 'http://127.0.0.1:4443'
    const own = parseTargetUrl('gs://bucket/dir', { kind: 'gcs', endpoint })
    assert.deepEqual([own.endpoint, own.identity, own.url], [endpoint, `${endpoint}/bucket/dir`, 'gs://bucket/dir'])
  })
})

describe('the URL of an Azure target', () => {
  it('is the same place in every way that it may be written', () => {
    const target = {
      kind: 'azure',
      account: 'myaccount',
      endpoint: 'https://myaccount.blob.core.windows.net',
      bucket: 'container',
      folder: 'dir/deeper',
      url: 'wasbs://container@myaccount.blob.core.windows.net/dir/deeper',
      identity: 'https://myaccount.blob.core.windows.net/container/dir/deeper',
    }
    for (const url of [
      'wasb://container@myaccount/dir/deeper',
      'wasbs://container@myaccount.blob.core.windows.net/dir/deeper/',
      'WASB://container@MyAccount.Blob.Core.Windows.Net/dir/deeper',
      'abfs://container@myaccount/dir/deeper',
      'abfss://container@myaccount.dfs.core.windows.net/dir/deeper',
      'abfss://container@myaccount.blob.core.windows.net/dir/deeper',
      'azblob://container@myaccount/dir/deeper',
    ]) {
      assert.deepEqual(azure(url), target, url)
    }
    assert.deepEqual(azure('azblob://container/dir/deeper', { kind: 'azure', account: 'myaccount' }), target)
  })

  it("knows the hosts of Azure's other clouds and of its DNS zones", () => {
    for (const [url, endpoint] of [
      ['wasbs://con@acc.blob.core.chinacloudapi.cn/d', 'https://acc.blob.core.chinacloudapi.cn'],
      ['abfss://con@acc.dfs.core.usgovcloudapi.net/d', 'https://acc.blob.core.usgovcloudapi.net'],
      ['wasbs://con@acc.z07.blob.storage.azure.net/d', 'https://acc.z07.blob.storage.azure.net'],
    ] as const) {
      const target = azure(url)
      assert.equal(target.endpoint, endpoint)
      assert.equal(target.account, 'acc')
      assert.deepEqual(azure(target.url), target)
    }
  })

  it('goes where the secret says, and is no other place for it', () => {
    const hint: SecretHint = {
      kind: 'azure',
      account: 'devstoreaccount1',
      endpoint: 'http://127.0.0.1:10000/devstoreaccount1',
    }
    const target = azure('wasb://con@devstoreaccount1/dir', hint)
    assert.equal(target.endpoint, hint.endpoint)
    assert.equal(target.url, 'wasbs://con@devstoreaccount1/dir')
    assert.equal(target.identity, 'http://127.0.0.1:10000/devstoreaccount1/con/dir')
    assert.deepEqual(azure('azblob://con/dir', hint), target)
    assert.deepEqual(azure(target.url, hint), target)
    assert.throws(
      () => azure('wasb://con@other/dir', hint),
      /names the storage account other, but its secret is for dev/,
    )
    assert.throws(
      () => azure('wasbs://con@devstoreaccount1.blob.core.windows.net', hint),
      /but its secret is for http:\/\/127/,
    )
  })
})

describe('any URL of a target', () => {
  it('is refused with what is wrong and what is right', () => {
    for (const [url, message] of [
      ['bucket/dir', /is not a URL/],
      ['ftp://bucket/dir', /scheme that is not known: s3:\/\/, minio:\/\//],
      ['s3a://bucket/dir', /write s3:\/\/bucket\/dir/],
      ['az://container@acc/dir', /write azblob:\/\/container@acc\/dir/],
      ['gcs://bucket/dir', /write gs:\/\/bucket\/dir/],
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
      ['gs://', /names no bucket/],
      ['gs://Bucket', /Google does not allow: Bucket/],
      ['gs://goog-bucket', /not beginning with goog/],
      ['gs://localhost:4443/bucket', /the endpoint in the secret/],
      ['gs://10.0.0.1/bucket', /the endpoint in the secret/],
      ['wasb://container/dir', /names no storage account: write wasb:\/\/container@account\/folder/],
      ['azblob://container/dir', /names no storage account: .*or name the secret of an account/],
      ['wasb://', /names no container/],
      ['wasb://Container@acc/dir', /Container@acc\/dir names a container that Azure does not allow/],
      ['wasb://con--tainer@acc/dir', /single dashes/],
      ['wasb://$root@acc/dir', /\$web/],
      ['wasb://con@my-acc/dir', /storage account that can not be one: my-acc/],
      ['wasb://con@storage.example.com/dir', /another endpoint is named by the secret/],
      ['wasb://con@acc/dir./x', /ends with a dot/],
      ['https://acc.blob.core.windows.net/con/dir', /write wasbs:\/\/con@acc\.blob\.core\.windows\.net\/dir/],
      ['https://storage.googleapis.com/bucket/dir', /write gs:\/\/bucket\/dir/],
      ['https://bucket.storage.googleapis.com/dir', /write gs:\/\/bucket\/dir/],
      ['https://bucket.s3.amazonaws.com/dir', /write s3:\/\/bucket\/dir/],
      ['https://my.bucket.s3.eu-central-1.amazonaws.com/dir', /write s3:\/\/my\.bucket\/dir/],
      ['https://s3.eu-central-1.amazonaws.com/bucket/dir', /write s3:\/\/bucket\/dir/],
      ['https://s3-us-west-2.amazonaws.com/bucket', /write s3:\/\/bucket/],
      ['http://minio.corp:9000/bucket', /write s3:\/\/minio\.corp:9000\/bucket/],
      ['https://minio.corp/bucket', /write s3:\/\/minio\.corp:443\/bucket/],
      [`s3://bucket/${'x'.repeat(3000)}`, /longer than 2048 characters/],
    ] as const) {
      assert.throws(() => parseTargetUrl(url), { name: 'InvalidInput', message }, url)
    }
  })

  it('does not go with the secret of another service', () => {
    for (const [url, hint, message] of [
      ['gs://bucket', { kind: 's3', name: 'x' }, /Google Cloud Storage, but secret x is for Amazon S3/],
      ['s3://bucket', { kind: 'azure', name: 'x' }, /Amazon S3 .*, but secret x is for Azure/],
      ['wasb://c@a', { kind: 'gcs' }, /Azure Blob Storage, but its secret is for Google/],
    ] as const) {
      assert.throws(() => parseTargetUrl(url, hint), { name: 'InvalidInput', message })
    }
  })

  it('never shows what could be a password', () => {
    for (const url of [
      's3://AKIA:hunter2@bucket/dir',
      's3://hunter2@bucket/dir',
      's3://AKIA:key/hunter2/key@bucket/dir',
      's3://AKIA:hunter2/key@bucket/dir',
      'AKIA:hunter2/key@bucket/dir',
      'wasb://container:hunter2/key==@acc/dir',
      's3a://AKIA:hunter2@bucket',
      'minio://u:hunter2@h/b',
      'gs://x:hunter2@b',
      'gs://hunter2@b',
      'ftp://u:hunter2@h/',
      'https://hunter2@h/',
      'u:hunter2@h/b',
      'wasb://container:hunter2@acc/dir',
      'wasb://u:hunter2@container@acc/dir',
      `azblob://hunter2${'x'.repeat(80)}@acc/dir`,
      'wasb://container@acc/dir?sv=1&sig=hunter2',
      'wasb://container@acc/dir?hunter2',
      'gs://bucket/dir#hunter2',
      'https://acc.blob.core.windows.net/con/dir?sig=hunter2',
      'az://container/dir?sig=hunter2',
      'wasb://container@acc/sig=hunter2//x',
      `s3://hunter2${'x'.repeat(3000)}@bucket`,
    ]) {
      assert.throws(
        () => parseTargetUrl(url),
        (error: Error) =>
          error instanceof InvalidInput && !JSON.stringify([error.message, error.data]).includes('hunter2'),
        url,
      )
    }
  })

  it('throws nothing but InvalidInput, whatever it is', () => {
    const scheme = fc.constantFrom('s3', 'minio', 'gs', 'wasb', 'abfss', 'azblob', 'https', 's3a', 'x')
    const junk = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.webUrl(),
      fc.ipV6(),
      fc.constantFrom('@', ':', '[', '//', '..', '%'),
    )
    const text = fc.oneof(
      junk,
      fc.tuple(scheme, fc.array(junk, { maxLength: 5 })).map(([name, parts]) => `${name}://${parts.join('')}`),
    )
    const hint = fc.constantFrom<SecretHint>({}, { endpoint: 'https://minio.corp' }, { kind: 'azure', account: 'acc' })
    fc.assert(
      fc.property(text, hint, (url, secret) => {
        try {
          const target = parseTargetUrl(url, secret)
          assert.deepEqual(parseTargetUrl(target.url, secret), target)
        } catch (error) {
          assert.ok(error instanceof InvalidInput, String(error))
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('in its normal form is the same target again, and its place is known by its bucket', () => {
    const label = fc.stringMatching(/^[a-z0-9]{3,20}$/).filter((name) => !name.startsWith('goog'))
    const folder = fc
      .array(fc.stringMatching(/^[A-Za-z0-9=_@ü-]{1,10}$/), { maxLength: 3 })
      .map((parts) => parts.join('/'))
    const host = fc.constantFrom('', 'localhost/', 'localhost:9000/', 'minio.corp:443/', '10.1.2.3/', '[::1]:80/')
    const url = fc.oneof(
      fc.tuple(host, label, folder).map(([at, bucket, path]) => `s3://${at}${bucket}/${path}`),
      fc.tuple(label, label, folder).map(([at, bucket, path]) => `minio://${at}/${bucket}/${path}`),
      fc.tuple(label, folder).map(([bucket, path]) => `gs://${bucket}/${path}`),
      fc
        .tuple(fc.constantFrom('wasb', 'wasbs', 'abfs', 'abfss', 'azblob'), label, label, folder)
        .map(([scheme, container, account, path]) => `${scheme}://${container}@${account}/${path}`),
    )
    fc.assert(
      fc.property(url, (text) => {
        const target = parseTargetUrl(text)
        assert.deepEqual(parseTargetUrl(target.url), target)
        const location = locationOf(target)
        assert.equal(location, locationOf(parseTargetUrl(`${target.url}/more`)))
        assert.equal(target.folder === '' ? location : `${location}/${target.folder}`, target.identity)
      }),
      { numRuns: 500 },
    )
  })

  it('keeps the names that places had in ledgers of earlier releases', () => {
    assert.equal(locationOf(parse('s3://bucket/dir')), 's3://bucket')
    assert.equal(locationOf(parse('s3://127.0.0.1:9000/bucket/dir')), 'http://127.0.0.1:9000/bucket')
    assert.equal(locationOf(parse('s3://bucket/dir', 'https://minio.corp')), 'https://minio.corp/bucket')
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

  it('of Azure has its account as path where its host is an address', () => {
    for (const [text, normal] of [
      ['http://127.0.0.1:10000', 'http://127.0.0.1:10000/acc'],
      ['http://127.0.0.1:10000/acc/', 'http://127.0.0.1:10000/acc'],
      ['http://azurite:10000/acc', 'http://azurite:10000/acc'],
      ['https://blobs.example.com', 'https://blobs.example.com'],
      ['https://acc.dfs.core.windows.net/', 'https://acc.blob.core.windows.net'],
    ] as const) {
      assert.equal(parseAzureEndpoint(text, 'acc'), normal)
    }
    for (const [text, message] of [
      ['http://127.0.0.1:10000/other', /not the storage account acc/],
      ['https://other.blob.core.windows.net', /not that of the storage account acc/],
      ['http://acc.blob.core.windows.net', /by https only/],
      ['https://acc.blob.core.windows.net/acc', /has a path/],
      ['https://acc.blob.core.windows.net/?sig=x', /without user, path or query/],
    ] as const) {
      assert.throws(() => parseAzureEndpoint(text, 'acc'), { name: 'InvalidInput', message })
    }
  })

  it('says where its connections go', () => {
    assert.deepEqual(hostAndPort('https://minio.corp'), { host: 'minio.corp', port: 443 })
    assert.deepEqual(hostAndPort('http://[::1]'), { host: '[::1]', port: 80 })
    assert.deepEqual(hostAndPort('http://127.0.0.1:10000/acc'), { host: '127.0.0.1', port: 10000 })
  })
})
