import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AccessDenied, Corrupt, InvalidInput, SignatureError, StorageFull } from '../../kernel/index.ts'
import { CommitUnavailable, ConditionFailed, PathNotFound, type Provenance } from '../../versioning/index.ts'
import { headerBytes, readAttributes } from './attributes.ts'
import { readChecksumClaim } from './checksums.ts'
import { entryHeaders } from './entry-headers.ts'
import { toS3Error } from './errors.ts'
import { readPageSize, readPartNumber, readToken, writeToken } from './numbers.ts'

describe('what a client says about an object', () => {
  it('is kept: content headers without aws-chunked, and metadata', () => {
    assert.deepEqual(
      {
        ...readAttributes({
          'content-type': 'image/png',
          'content-encoding': 'aws-chunked,gzip',
          'cache-control': 'no-cache',
          expires: 'never',
        }),
      },
      {
        metadata: Object.create(null),
        contentType: 'image/png',
        contentEncoding: 'gzip',
        cacheControl: 'no-cache',
        expires: 'never',
      },
    )
    assert.equal(readAttributes({ 'content-encoding': 'aws-chunked' }).contentEncoding, undefined)
  })

  it('keeps metadata of any name and in UTF-8, but none of those that are ours', () => {
    const bytes = headerBytes('größer €')
    const { metadata } = readAttributes({
      'x-amz-meta-__proto__': 'a',
      'x-amz-meta-b': bytes,
      'x-amz-meta-sluice-job': 'fake',
      'x-amz-meta-': 'c',
    })
    assert.deepEqual(Object.entries(metadata), [
      ['__proto__', 'a'],
      ['b', 'größer €'],
    ])
    assert.equal(({} as Record<string, unknown>)['a'], undefined)
  })

  it('is at most 2 KB of metadata', () => {
    readAttributes({ 'x-amz-meta-a': 'x'.repeat(2047) })
    assert.throws(() => readAttributes({ 'x-amz-meta-a': 'x'.repeat(2048) }), { code: 'MetadataTooLarge' })
  })
})

describe('the checksum of a body', () => {
  it('is one, by header or by trailer, of the length that its algorithm makes', () => {
    assert.equal(readChecksumClaim({}), undefined)
    assert.deepEqual(readChecksumClaim({ 'x-amz-checksum-crc32': 'AAAAAA==' }), {
      algorithm: 'CRC32',
      expected: Buffer.alloc(4),
    })
    assert.deepEqual(
      readChecksumClaim({ 'x-amz-trailer': 'x-amz-checksum-sha256', 'x-amz-sdk-checksum-algorithm': 'SHA256' }),
      {
        algorithm: 'SHA256',
        trailer: 'x-amz-checksum-sha256',
      },
    )
    for (const headers of [
      { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-sha1': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' },
      { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-trailer': 'x-amz-checksum-crc32c' },
      { 'x-amz-sdk-checksum-algorithm': 'CRC32' },
      { 'x-amz-sdk-checksum-algorithm': 'CRC7' },
    ]) {
      assert.throws(() => readChecksumClaim(headers), { code: 'InvalidRequest' }, JSON.stringify(headers))
    }
    for (const value of ['AAAA', '%%%', '', 'bad']) {
      assert.throws(() => readChecksumClaim({ 'x-amz-checksum-crc32': value }), { code: 'BadDigest' }, value)
    }
    assert.throws(() => readChecksumClaim({ 'x-amz-checksum-sha512': 'A' }), {
      code: 'NotImplemented',
      message: /sha512/,
    })
  })
})

describe('numbers and tokens', () => {
  it('are read strictly', () => {
    assert.deepEqual(
      ['0', '5', '1000', '5000', '2147483647', '', undefined].map((text) => readPageSize('max-keys', text)),
      [0, 5, 1000, 1000, 1000, 1000, 1000],
    )
    for (const text of ['-1', 'a', '1.5', '2147483648', '1e3'])
      assert.throws(() => readPageSize('max-keys', text), { code: 'InvalidArgument' })
    assert.equal(readPartNumber('10000'), 10_000)
    for (const text of ['0', '10001', '-1', 'a', ''])
      assert.throws(() => readPartNumber(text), { code: 'InvalidArgument' })
  })

  it('come back as they went out, and others are refused', () => {
    for (const place of ['a', 'ü/€ 😀', '\u0001', '1']) assert.equal(readToken('t', writeToken(place)), place)
    for (const token of ['a', '!!!', `${writeToken('a')}=`, '2YQ'])
      assert.throws(() => readToken('t', token), { code: 'InvalidArgument' }, token)
  })
})

describe('errors', () => {
  const code = (error: unknown) => toS3Error(error).code

  it('of the domain become the codes of S3', () => {
    assert.equal(code(new PathNotFound('a')), 'NoSuchKey')
    assert.equal(code(new AccessDenied('no')), 'AccessDenied')
    assert.equal(code(new StorageFull()), 'ServiceUnavailable')
    assert.equal(code(new InvalidInput('x')), 'InvalidArgument')
    assert.equal(code(new SignatureError('RequestExpired', 'x')), 'AccessDenied')
    assert.equal(code(new ConditionFailed('x', { condition: 'If-Match' })), 'PreconditionFailed')
    assert.equal(code(new ConditionFailed('x', { condition: 'If-Match', missing: true })), 'NoSuchKey')
    assert.equal(code(new CommitUnavailable('x', { state: 'open', via: 'propagation' })), 'ServiceUnavailable')
    assert.equal(code(new CommitUnavailable('x', { state: 'open', via: 'own' })), 'CommitNotReadable')
    assert.equal(
      code(new CommitUnavailable('x', { state: 'failed', via: 'propagation', reason: 'y' })),
      'CommitNotReadable',
    )
  })

  it('that nobody foresaw say nothing but InternalError', () => {
    for (const error of [new Error('secret path'), 'text', undefined, { code: 'toString' }, new TypeError('x')]) {
      const refusal = toS3Error(error)
      assert.equal(refusal.code, 'InternalError')
      assert.doesNotMatch(refusal.message, /secret/)
    }
    assert.equal(code(new Corrupt('chunk')), 'InternalError')
  })
})

describe('the headers of an object', () => {
  const commit = 'c'.repeat(32)
  const provenance = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      repo: `repo${i}`,
      commit: 'd'.repeat(32),
      branch: 'master',
      direct: i === 1,
    })) as unknown as Provenance[]
  const headersOf = (count: number) =>
    entryHeaders(
      {
        path: 'a.png',
        size: 1,
        etag: 'e',
        modifiedMs: 0,
        content: { kind: 'inline', bytes: Buffer.from('x') },
        attributes: { metadata: { camera: 'größe' } },
        version: { commit, seq: 7 },
        origin: { job: 'j'.repeat(32), datum: 'f'.repeat(64) },
      } as never,
      {
        target: { kind: 'branch' },
        repo: 'edges',
        branch: 'master',
        commit,
        commitState: 'finished',
        pipeline: 'edges',
        provenance: provenance(count),
      } as never,
      undefined,
    )

  it('say where a pipeline wrote it and from what, twice: once for tools that show metadata only', () => {
    const headers = headersOf(2)
    assert.equal(headers['x-sluice-commit'], commit)
    assert.equal(headers['x-amz-version-id'], `${commit}-7`)
    assert.equal(headers['x-amz-meta-sluice-pipeline'], 'edges')
    assert.equal(headers['x-amz-meta-sluice-job'], 'j'.repeat(32))
    assert.equal(headers['x-amz-meta-sluice-provenance'], `repo1@${'d'.repeat(32)}, repo0@${'d'.repeat(32)}`)
    assert.equal(headers['x-amz-meta-camera'], headerBytes('größe'))
  })

  it('stay within 1 KB of metadata whatever the provenance', () => {
    const headers = headersOf(500)
    const bytes = Object.entries(headers)
      .filter(([name]) => name.startsWith('x-amz-meta-sluice-'))
      .reduce((sum, [name, value]) => sum + name.length - 'x-amz-meta-'.length + String(value).length, 0)
    assert.ok(bytes <= 1024, `${bytes}`)
    assert.match(String(headers['x-amz-meta-sluice-provenance']), /, \+\d+ more$/)
    assert.ok(String(headers['x-sluice-provenance']).length <= 2048)
  })
})
