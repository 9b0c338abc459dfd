import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import {
  ObjectNotFound,
  type ObjectStore,
  StoreDenied,
  StoreError,
  StoreFull,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../object-store.ts'
import { page, putOne, taken, testCredentials, withServer, xml } from '../testing/scripted-s3.ts'
import type { Reply } from '../testing/scripted-server.ts'

interface Case {
  readonly what: string
  readonly reply: Reply
  readonly kind: new (...args: never[]) => StoreError
  readonly tries: number
  readonly says: RegExp
}

const cases: readonly Case[] = [
  {
    what: 'a wrong access key',
    reply: xml(403, 'InvalidAccessKeyId'),
    kind: StoreDenied,
    tries: 1,
    says: /does not know the access key AKIATEST: check/,
  },
  {
    what: 'a wrong secret key',
    reply: xml(403, 'SignatureDoesNotMatch'),
    kind: StoreDenied,
    tries: 1,
    says: /secret key of AKIATEST is wrong/,
  },
  {
    what: 'what is not allowed',
    reply: xml(403, 'AccessDenied'),
    kind: StoreDenied,
    tries: 1,
    says: /does not let the access key AKIATEST do that in bucket bucket/,
  },
  {
    what: 'a token that has expired',
    reply: xml(400, 'ExpiredToken'),
    kind: StoreDenied,
    tries: 1,
    says: /have expired.*renew them/,
  },
  {
    what: 'a clock that is wrong',
    reply: xml(403, 'RequestTimeTooSkewed'),
    kind: StoreDenied,
    tries: 1,
    says: /set the clock/,
  },
  {
    what: 'a bucket that is missing',
    reply: xml(404, 'NoSuchBucket'),
    kind: ObjectNotFound,
    tries: 1,
    says: /has no bucket bucket; create it first/,
  },
  {
    what: 'another region',
    reply: xml(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-3' }),
    kind: StoreRejected,
    tries: 1,
    says: /is in region eu-west-3.*--region eu-west-3/,
  },
  {
    what: 'another region, by its signature',
    reply: xml(400, 'AuthorizationHeaderMalformed', { 'x-amz-bucket-region': 'eu-west-3' }),
    kind: StoreRejected,
    tries: 1,
    says: /is in region eu-west-3/,
  },
  {
    what: 'a region that it does not name',
    reply: xml(307, 'TemporaryRedirect'),
    kind: StoreRejected,
    tries: 1,
    says: /in another region: name it/,
  },
  {
    what: 'a redirect',
    reply: { status: 301, headers: { location: 'https://other.example/bucket/k?token=1' } },
    kind: StoreRejected,
    tries: 1,
    says: /on to https:\/\/other\.example, which is not followed: name/,
  },
  {
    what: 'a redirect that is kept',
    reply: { status: 308, headers: { location: 'https://other.example/' } },
    kind: StoreRejected,
    tries: 1,
    says: /other\.example, which is not followed/,
  },
  {
    what: 'a full disk',
    reply: xml(507, 'InsufficientStorage'),
    kind: StoreFull,
    tries: 1,
    says: /is full.*make room or raise the quota/,
  },
  { what: 'a quota', reply: xml(403, 'QuotaExceeded'), kind: StoreFull, tries: 1, says: /is full/ },
  {
    what: "MinIO's full disk",
    reply: xml(507, 'XMinioStorageFull'),
    kind: StoreFull,
    tries: 1,
    says: /XMinioStorageFull/,
  },
  {
    what: "MinIO's quota",
    reply: xml(400, 'XMinioAdminBucketQuotaExceeded'),
    kind: StoreFull,
    tries: 1,
    says: /is full/,
  },
  {
    what: 'too many requests',
    reply: xml(503, 'SlowDown'),
    kind: StoreThrottled,
    tries: 3,
    says: /takes no more requests now/,
  },
  {
    what: 'too many requests, without a word',
    reply: { status: 429 },
    kind: StoreThrottled,
    tries: 3,
    says: /HTTP 429/,
  },
  {
    what: 'an error of its own',
    reply: xml(500, 'InternalError'),
    kind: StoreUnreachable,
    tries: 3,
    says: /failed \(InternalError: said so\)/,
  },
  { what: 'an error without a word', reply: { status: 500 }, kind: StoreUnreachable, tries: 3, says: /HTTP 500/ },
  { what: "a proxy's page", reply: page(502), kind: StoreUnreachable, tries: 3, says: /HTTP 502 and a page of HTML/ },
  { what: "a proxy's refusal", reply: page(403), kind: StoreDenied, tries: 1, says: /HTTP 403 and a page of HTML/ },
  {
    what: 'a page instead of a success',
    reply: page(200),
    kind: StoreRejected,
    tries: 1,
    says: /does not answer as S3 does.*check the endpoint/,
  },
  {
    what: 'what it has not got',
    reply: xml(501, 'NotImplemented'),
    kind: StoreRejected,
    tries: 1,
    says: /NotImplemented/,
  },
  {
    what: 'what is too large',
    reply: xml(400, 'EntityTooLarge'),
    kind: StoreRejected,
    tries: 1,
    says: /EntityTooLarge/,
  },
  {
    what: 'a body that was changed on its way',
    reply: xml(400, 'BadDigest'),
    kind: StoreRejected,
    tries: 1,
    says: /BadDigest/,
  },
  {
    what: 'other bytes than were sent',
    reply: { headers: { etag: `"${'0'.repeat(32)}"` } },
    kind: StoreUnreachable,
    tries: 3,
    says: /other bytes than were sent/,
  },
  {
    what: 'a condition',
    reply: xml(412, 'PreconditionFailed'),
    kind: StorePreconditionFailed,
    tries: 1,
    says: /PreconditionFailed/,
  },
  {
    what: 'a connection that is cut at once',
    reply: { cut: 'before' },
    kind: StoreUnreachable,
    tries: 3,
    says: /ECONNRESET/,
  },
  {
    what: 'a connection that is cut in an answer',
    reply: { ...xml(503, 'SlowDown'), cut: 'middle' },
    kind: StoreUnreachable,
    tries: 3,
    says: /ECONNRESET/,
  },
  { what: 'no answer', reply: { stalls: 'before' }, kind: StoreUnreachable, tries: 3, says: /did not answer in time/ },
  {
    what: 'half an answer',
    reply: { ...xml(503, 'SlowDown'), stalls: 'middle' },
    kind: StoreUnreachable,
    tries: 3,
    says: /did not answer in time|ECONNRESET/,
  },
]

describe('the S3 driver tells what is wrong with a store', () => {
  const small = putOne
  const streamed = (store: ObjectStore) => store.put('k', Readable.from(['x'], { objectMode: false }), 1)
  // A store's first small body goes by the SDK, the others by a way of their own, and streams by the SDK, once.
  for (const { way, before, put, again } of [
    { way: 'the first put of a store', before: 0, put: small, again: true },
    { way: 'a later one', before: 1, put: small, again: true },
    { way: 'one of a stream', before: 0, put: streamed, again: false },
  ]) {
    for (const { what, reply, kind, tries, says } of cases) {
      it(`tells ${what} apart, by ${way}`, async () => {
        await withServer(
          (request, number) => (number <= before ? taken(request) : reply),
          async (store, server) => {
            for (let turn = 0; turn < before; turn++) await small(store)
            await assert.rejects(put(store), (error: unknown) => {
              assert.ok(error instanceof StoreError, String(error))
              assert.ok(error instanceof kind, `${error.name}: ${error.message}`)
              assert.match(error.message, says)
              assert.ok(!error.message.includes(testCredentials.secretAccessKey))
              return true
            })
            assert.equal(server.asked.length - before, again ? tries : 1)
          },
        )
      })
    }
  }
})
