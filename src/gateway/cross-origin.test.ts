import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CreateBucketCommand,
  DeleteBucketCorsCommand,
  GetBucketCorsCommand,
  PutBucketCorsCommand,
} from '@aws-sdk/client-s3'
import { presignUrl } from '../kernel/index.ts'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const Bucket = 'master.pages'

describe('pages of other origins', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
    await objectsIn(Bucket, () => server).put('a', 'hello')
  })
  after(() => server.close())

  const configure = (CORSRules: object[]) =>
    server.s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: CORSRules as never } }))
  const preflight = (path: string, headers: Record<string, string>) =>
    fetch(server.origin + path, { method: 'OPTIONS', headers })
  const asking = (origin: string, method = 'GET', headers = '') => ({
    origin,
    'access-control-request-method': method,
    ...(headers === '' ? {} : { 'access-control-request-headers': headers }),
  })

  it('are allowed what the rules say, and the rules are kept as they were given', async () => {
    await refused(server.s3.send(new GetBucketCorsCommand({ Bucket })), 'NoSuchCORSConfiguration', 404)
    assert.equal((await preflight(`/${Bucket}/a`, asking('https://app.example'))).status, 403)
    const rules = [
      {
        ID: 'apps',
        AllowedOrigins: ['https://*.example', 'http://localhost:3000'],
        AllowedMethods: ['GET', 'PUT'],
        AllowedHeaders: ['x-amz-*', 'Content-Type'],
        ExposeHeaders: ['ETag'],
        MaxAgeSeconds: 600,
      },
      { AllowedOrigins: ['*'], AllowedMethods: ['HEAD'] },
    ]
    await configure(rules)
    assert.deepEqual((await server.s3.send(new GetBucketCorsCommand({ Bucket }))).CORSRules, rules)

    const allowed = await preflight(`/${Bucket}/a`, asking('https://app.example', 'PUT', 'X-Amz-Date, content-type'))
    assert.equal(allowed.status, 200)
    const header = (name: string) => allowed.headers.get(`access-control-${name}`)
    assert.deepEqual(
      ['allow-origin', 'allow-methods', 'allow-headers', 'expose-headers', 'max-age', 'allow-credentials'].map(header),
      ['https://app.example', 'GET, PUT', 'x-amz-date, content-type', 'ETag', '600', 'true'],
    )
    assert.match(allowed.headers.get('vary') ?? '', /Origin/)
    const everybody = await preflight(`/${Bucket}`, asking('https://elsewhere', 'HEAD'))
    assert.equal(everybody.headers.get('access-control-allow-origin'), '*')
    assert.equal(everybody.headers.get('access-control-allow-credentials'), null)
  })

  it('are refused what no rule allows, and a bucket without rules looks as one that is not there', async () => {
    for (const headers of [
      asking('https://elsewhere'),
      asking('https://app.example', 'DELETE'),
      asking('https://app.example', 'PUT', 'authorization'),
      asking('https://app.example.evil'),
      asking('https://.example.'),
    ]) {
      const reply = await preflight(`/${Bucket}/a`, headers)
      assert.equal(reply.status, 403, JSON.stringify(headers))
      assert.match(await reply.text(), /<Code>AccessForbidden</)
      assert.equal(reply.headers.get('access-control-allow-origin'), null)
    }
    await server.s3.send(new CreateBucketCommand({ Bucket: 'quiet' }))
    const answers = await Promise.all(
      ['/quiet/a', '/nowhere/a', '/deadbeef.quiet/a', '/_/a', '/'].map(async (path) => {
        const reply = await preflight(path, asking('https://app.example'))
        return [reply.status, (await reply.text()).replace(/<(Resource|RequestId)>.*?<\/\1>/g, '')]
      }),
    )
    for (const answer of answers) assert.deepEqual(answer, answers[0])
    assert.equal(answers[0]?.[0], 403)
    assert.equal((await preflight(`/${Bucket}`, { origin: 'https://app.example' })).status, 400)
    assert.equal((await preflight(`/${Bucket}`, { 'access-control-request-method': 'GET' })).status, 400)
  })

  it('see answers, and refusals too, of what they may ask for, and nothing of it on others', async () => {
    const origin = { origin: 'https://app.example' }
    const url = presignUrl({
      ...testKey,
      method: 'GET',
      url: `${server.origin}/${Bucket}/a`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    const seen = await fetch(url, { headers: origin })
    assert.deepEqual([seen.status, await seen.text()], [200, 'hello'])
    assert.equal(seen.headers.get('access-control-allow-origin'), 'https://app.example')
    assert.equal(seen.headers.get('access-control-expose-headers'), 'ETag')
    const forbidden = await fetch(`${server.origin}/${Bucket}/a`, { headers: origin })
    assert.equal(forbidden.status, 403)
    assert.equal(forbidden.headers.get('access-control-allow-origin'), 'https://app.example')
    const other = await fetch(url, { headers: { origin: 'https://elsewhere' } })
    assert.equal(other.status, 200)
    assert.equal(other.headers.get('access-control-allow-origin'), null)
    assert.equal((await fetch(url)).headers.get('access-control-allow-origin'), null)
    // The same presigned URL is asked for first, with its query.
    assert.equal((await fetch(url, { method: 'OPTIONS', headers: asking('https://app.example') })).status, 200)
  })

  it('may read a commit by the rules of its branch', async () => {
    const commit = await server.store.versioning.finishCommit({ repo: 'pages', branch: 'master' } as never)
    const reply = await preflight(`/${commit.id}.pages/a`, asking('https://app.example'))
    assert.equal(reply.status, 200)
  })

  it('have no rules any more when they are removed', async () => {
    await server.s3.send(new DeleteBucketCorsCommand({ Bucket }))
    await refused(server.s3.send(new GetBucketCorsCommand({ Bucket })), 'NoSuchCORSConfiguration', 404)
    assert.equal((await preflight(`/${Bucket}/a`, asking('https://app.example'))).status, 403)
  })

  it('get no rules that make no sense', async () => {
    const rule = { AllowedOrigins: ['*'], AllowedMethods: ['GET'] }
    await refused(configure([{ ...rule, AllowedMethods: ['PATCH'] }]), 'InvalidRequest', 400)
    await refused(configure([{ ...rule, AllowedOrigins: ['http://*.*'] }]), 'InvalidRequest', 400)
    await refused(configure([{ ...rule, AllowedHeaders: ['*-*'] }]), 'InvalidRequest', 400)
    await refused(configure([{ ...rule, ExposeHeaders: ['x-*'] }]), 'InvalidRequest', 400)
    await refused(configure([{ ...rule, ExposeHeaders: ['a\r\nb: c'] }]), 'MalformedXML', 400)
    await refused(configure([]), 'MalformedXML', 400)
    await refused(configure([{ AllowedOrigins: ['*'] }]), 'MalformedXML', 400)
    await refused(configure(Array.from({ length: 101 }, () => rule)), 'MalformedXML', 400)
    await configure(Array.from({ length: 100 }, () => rule))
  })
})
