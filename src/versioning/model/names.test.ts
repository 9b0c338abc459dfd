import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidName, InvalidPath, isMarker, parseBranchName, parsePath, parseRepoName } from './index.ts'

const nearestTo = (parse: (name: string) => string, name: string): unknown => {
  try {
    parse(name)
  } catch (error) {
    assert.ok(error instanceof InvalidName)
    return error.data['nearest']
  }
  return assert.fail(`${name} was taken`)
}

describe('names', () => {
  it('of repos are what every S3 client takes as the end of a bucket name', () => {
    for (const name of ['a', '0', 'images', 'word-count', 'a--b', 'x'.repeat(63)])
      assert.equal(parseRepoName(name), name)
    for (const name of ['', '-a', 'a-', 'a.b', 'A', 'a_b', 'ä', 'x'.repeat(64), 'a b', 'a\n']) {
      assert.throws(() => parseRepoName(name), InvalidName, name)
    }
  })

  it('of branches have labels, and are never mistaken for a commit, a transaction or an address', () => {
    for (const name of ['master', 'v1.2', 'a-b.c', 'deadbee', 'deadbeef-x', 'abc.deadbeef'])
      assert.equal(parseBranchName(name), name)
    for (const name of ['deadbeef', '0'.repeat(32), 'tx-a', 'tx-a.b', 'a..b', '.a', 'a.', 'A', '10.0.0', '1.2.3.4']) {
      assert.throws(() => parseBranchName(name), InvalidName, name)
    }
  })

  it('that are refused come with the nearest one that is not', () => {
    assert.equal(nearestTo(parseRepoName, 'word_count'), 'word-count')
    assert.equal(nearestTo(parseRepoName, 'My Repo!'), 'my-repo')
    assert.equal(nearestTo(parseBranchName, 'Feature_X.1'), 'feature-x.1')
    assert.equal(nearestTo(parseBranchName, 'tx-dev'), 'dev')
    assert.equal(nearestTo(parseBranchName, 'deadbeef'), 'b-deadbeef')
  })
})

describe('paths', () => {
  it('are 1 to 1,024 bytes of UTF-8, whatever else is in them', () => {
    for (const path of ['a', '/', '../../etc/passwd', 'a//b', 'ü'.repeat(512), '\n\u0001', '😀'])
      assert.equal(parsePath(path), path)
    for (const path of ['', 'a\0b', '\ud800', 'ü'.repeat(513), 'x'.repeat(1025)])
      assert.throws(() => parsePath(path), InvalidPath)
  })

  it('that end in / are markers when there is nothing in them', () => {
    assert.deepEqual([isMarker('a/', 0), isMarker('a/', 1), isMarker('a', 0)], [true, false, false])
  })
})
