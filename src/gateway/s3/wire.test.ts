import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AccessDenied, Corrupt, InvalidInput, SignatureError, StorageFull } from '../../kernel/index.ts'
import {
  CommitUnavailable,
  ConditionFailed,
  isControlPath,
  PathNotFound,
  type Provenance,
} from '../../versioning/index.ts'
import { parseBucket, readKey } from './addressing.ts'
import { headerBytes, readAttributes } from './attributes.ts'
import { readChecksumClaim } from './checksums.ts'
import { readCompleteInput } from './complete-upload.ts'
import { evaluateConditions, readConditions, readWriteConditions } from './conditions.ts'
import { readCopySource } from './copy-source.ts'
import { entryHeaders } from './entry-headers.ts'
import { toS3Error } from './errors.ts'
import { readPageSize, readPartNumber, readToken, writeToken } from './numbers.ts'
import { readRange, resolveRange } from './ranges.ts'

describe('a bucket name', () => {
  const split = (text: string) => {
    const { repo, name } = parseBucket(text)
    return [name, repo]
  }

  it('is split at its last dot', () => {
    assert.deepEqual(split('master.images'), ['master', 'images'])
    assert.deepEqual(split('images'), [undefined, 'images'])
    assert.deepEqual(split('v1.2.images'), ['v1.2', 'images'])
    assert.deepEqual(split('0123456789abcdef.images'), ['0123456789abcdef', 'images'])
  })

  it('that is not allowed is refused with what is, and the nearest that is', () => {
    const cases: [string, string | undefined][] = [
      ['word_count', 'word-count'],
      ['Master.Images', 'master.images'],
      ['master.word_count', 'master.word-count'],
      ['-a-', 'a'],
      ['a..b', 'a.b'],
      ['.images', 'images'],
      ['192.168.0.1', undefined],
      ['', undefined],
      ['...', undefined],
    ]
    for (const [name, nearest] of cases) {
      assert.throws(
        () => parseBucket(name),
        (error: Error & { code?: string }) =>
          error.code === 'InvalidBucketName' &&
          (nearest === undefined ? !/nearest/.test(error.message) : error.message.endsWith(`: ${nearest}`)),
        name,
      )
    }
    for (const name of ['a'.repeat(64), `${'b'.repeat(200)}.${'a'.repeat(60)}`, '__proto__', '../images', 'a/b', 'ä']) {
      assert.throws(() => parseBucket(name), { code: 'InvalidBucketName' }, name)
    }
  })

  it('of a transaction is its name, and its branch or none', () => {
    assert.deepEqual(parseBucket('tx-a.images'), { text: 'tx-a.images', repo: 'images', name: 'tx-a' })
    assert.equal(parseBucket('tx-a.b.c.images').name, 'tx-a.b.c')
    for (const name of ['tx-.images', 'tx--a.images', 'tx-a..images', 'tx-a.deadbeef.images', 'tx-a.tx-b.images']) {
      assert.throws(() => parseBucket(name), { code: 'InvalidBucketName' }, name)
    }
  })
})

describe('a key', () => {
  it('is 1 to 1,024 bytes of UTF-8, taken as it is', () => {
    for (const key of ['a', '../a', '/a', 'a//b', '.', 'ü'.repeat(512), '%2e%2e']) assert.equal(readKey(key), key)
    for (const key of ['ü'.repeat(513), 'a'.repeat(1025)])
      assert.throws(() => readKey(key), { code: 'KeyTooLongError' })
  })

  it('below .sluice/ is reserved', () => {
    assert.deepEqual(['.sluice', '.sluice/', '.sluice/a', '.sluicegate', 'a/.sluice/b'].map(isControlPath), [
      true,
      true,
      true,
      false,
      false,
    ])
  })
})

describe('a range', () => {
  const resolve = (header: string, size = 10) => {
    const claim = readRange(header)
    return claim && resolveRange(claim, size)
  }

  it('has a first and last byte, a first byte, or a length from the end', () => {
    assert.deepEqual(resolve('bytes=0-0'), { start: 0, end: 1 })
    assert.deepEqual(resolve('bytes=2-5'), { start: 2, end: 6 })
    assert.deepEqual(resolve('bytes=2-500'), { start: 2, end: 10 })
    assert.deepEqual(resolve('bytes=9-'), { start: 9, end: 10 })
    assert.deepEqual(resolve('bytes=-3'), { start: 7, end: 10 })
    assert.deepEqual(resolve('bytes=-30'), { start: 0, end: 10 })
  })

  it('that can not be satisfied is refused, with the size', () => {
    for (const header of ['bytes=10-', 'bytes=10-20', 'bytes=-0']) {
      assert.throws(() => resolve(header), { code: 'InvalidRange', headers: { 'Content-Range': 'bytes */10' } }, header)
    }
    for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
      assert.throws(() => resolve(header, 0), { code: 'InvalidRange' }, header)
    }
  })

  it('that is malformed, of another unit or several is no range', () => {
    for (const header of [
      'bytes=5-2',
      'bytes=a-b',
      'bytes=-',
      'items=0-1',
      'bytes=0-1,3-4',
      'bytes=',
      '0-1',
      'bytes=1-2-3',
    ]) {
      assert.equal(resolve(header), undefined, header)
    }
  })
})

describe('conditions of a read', () => {
  const entry = { etag: 'abc', modifiedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) }
  const at = 'Fri, 02 Jan 2026 03:04:05 GMT'
  const before = 'Fri, 02 Jan 2026 03:04:04 GMT'
  const verdict = (headers: Record<string, string>) => evaluateConditions(readConditions(headers), entry).kind

  it('hold or not by ETag and by whole seconds', () => {
    assert.equal(verdict({}), 'go')
    assert.equal(verdict({ 'if-match': '"abc"' }), 'go')
    assert.equal(verdict({ 'if-match': 'abc' }), 'go')
    assert.equal(verdict({ 'if-match': '"x", "abc"' }), 'go')
    assert.equal(verdict({ 'if-match': '*' }), 'go')
    assert.equal(verdict({ 'if-match': '"x"' }), 'failed')
    assert.equal(verdict({ 'if-none-match': '"abc"' }), 'notModified')
    assert.equal(verdict({ 'if-none-match': '"x"' }), 'go')
    assert.equal(verdict({ 'if-modified-since': at }), 'notModified')
    assert.equal(verdict({ 'if-modified-since': before }), 'go')
    assert.equal(verdict({ 'if-unmodified-since': at }), 'go')
    assert.equal(verdict({ 'if-unmodified-since': before }), 'failed')
    assert.equal(verdict({ 'if-modified-since': 'yesterday' }), 'go')
  })

  it('by ETag count more than those by time', () => {
    assert.equal(verdict({ 'if-match': '"abc"', 'if-unmodified-since': before }), 'go')
    assert.equal(verdict({ 'if-none-match': '"x"', 'if-modified-since': at }), 'go')
  })
})

describe('conditions of a write', () => {
  it('are one ETag or any object at all; a list is refused, not ignored', () => {
    assert.equal(readWriteConditions({}), undefined)
    assert.deepEqual(readWriteConditions({ 'if-none-match': '*' }), { ifNoneMatch: '*' })
    assert.deepEqual(readWriteConditions({ 'if-match': '"abc"' }), { ifMatch: 'abc' })
    assert.deepEqual(readWriteConditions({ 'if-none-match': '"abc"' }), { ifNoneMatch: 'abc' })
    assert.deepEqual(readWriteConditions({ 'if-match': '*' }), { ifMatch: '*' })
    for (const headers of [{ 'if-none-match': '"a", "b"' }, { 'if-match': '"a", "b"' }]) {
      assert.throws(() => readWriteConditions(headers), { code: 'NotImplemented' })
    }
    assert.throws(() => readWriteConditions({ 'if-none-match': '*', 'if-match': 'a' }), { code: 'InvalidRequest' })
  })
})

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

describe('a Complete', () => {
  const request = { bucket: parseBucket('images'), key: 'a', query: new Map([['uploadId', '1']]), headers: {} } as never
  const part = (number: number) =>
    `<Part>\n  <ETag>&quot;e${number}&quot;</ETag><PartNumber>${number}</PartNumber></Part>\n`
  const parts = (count: number) => Array.from({ length: count }, (_, index) => part(index + 1)).join('')
  const read = (inner: string) =>
    readCompleteInput(request, Buffer.from(`<CompleteMultipartUpload>${inner}</CompleteMultipartUpload>`))

  it('of 10,000 parts is read, and of one more refused', () => {
    const input = read(parts(10_000))
    assert.deepEqual(
      [input.parts.length, input.parts.at(-1)?.number, input.parts.at(-1)?.etag],
      [10_000, 10_000, 'e10000'],
    )
    assert.throws(() => read(parts(10_001)), { code: 'MalformedXML' })
  })

  it('of no parts, or of parts out of order, is refused', () => {
    assert.throws(() => read(''), { code: 'MalformedXML' })
    assert.throws(() => read(part(2) + part(1)), { code: 'InvalidPartOrder' })
    assert.throws(() => read(part(1) + part(2) + part(1)), { code: 'InvalidPartOrder' })
    assert.throws(() => readCompleteInput(request, Buffer.alloc(0)), { code: 'MalformedXML' })
    assert.throws(() => read('<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>'), { code: 'MalformedXML' })
  })
})

describe('a part that is named twice in a row', () => {
  it('counts as it was named last', () => {
    const request = {
      bucket: parseBucket('images'),
      key: 'a',
      query: new Map([['uploadId', '1']]),
      headers: {},
    } as never
    const part = (etag: string) => `<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part>`
    const bytes = Buffer.from(`<CompleteMultipartUpload>${part('b')}${part('a')}</CompleteMultipartUpload>`)
    const { parts } = readCompleteInput(request, bytes)
    assert.deepEqual(
      parts.map(({ number, etag }) => [number, etag]),
      [[1, 'a']],
    )
  })
})

describe('a copy source', () => {
  const read = (text: string) => {
    const { bucket, path, version } = readCopySource({ 'x-amz-copy-source': text })
    return [bucket.text, path, version?.kind]
  }

  it('is decoded once, with a space for a plus', () => {
    assert.deepEqual(read('/images/a.png'), ['images', 'a.png', undefined])
    assert.deepEqual(read('images/a%20b%2Bc+d/%C3%BC'), ['images', 'a b+c d/ü', undefined])
    assert.deepEqual(read('images%2Fa.png'), ['images', 'a.png', undefined])
    assert.deepEqual(read('images/%252e%252e/a'), ['images', '%2e%2e/a', undefined])
    assert.deepEqual(read(`images/a?versionId=${'0'.repeat(32)}-1`), ['images', 'a', 'exact'])
  })

  it('that names no object, a document of the control folder, or is broken, is refused', () => {
    for (const text of [
      '',
      '/',
      'images',
      'images/',
      '/images/',
      'images/%',
      'images/%ff',
      'images/a?x=1',
      'images/a?versionId=x',
    ]) {
      assert.throws(() => read(text), { code: 'InvalidArgument' }, text)
    }
    assert.throws(() => read('images/.sluice/flush.json'), { code: 'InvalidRequest' })
    assert.throws(() => read('images/%2Esluice/flush.json'), { code: 'InvalidRequest' })
    assert.throws(() => read('../etc/passwd'), { code: 'InvalidBucketName' })
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
