import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isControlPath } from '../../versioning/index.ts'
import { parseBucket, readKey } from './addressing.ts'
import { readCopySource } from './copy-source.ts'

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
