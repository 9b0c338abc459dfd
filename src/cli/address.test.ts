import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  baseOf,
  isCommitId,
  parseAddress,
  parseBranch,
  parseFile,
  parseRevision,
  parseTarget,
  revisionIn,
} from './address.ts'
import { UsageError } from './errors.ts'

describe('addresses', () => {
  it('take repo, revision and path apart', () => {
    assert.deepEqual(parseAddress('images'), { repo: 'images', revision: undefined, path: undefined })
    assert.deepEqual(parseAddress('images@master^2:a/b.png'), {
      repo: 'images',
      revision: 'master^2',
      path: 'a/b.png',
    })
    assert.deepEqual(parseFile('images@c721c4bb:x'), { repo: 'images', revision: 'c721c4bb', path: 'x' })
  })

  it('have colons in their times, which are no path', () => {
    const of = (text: string) => {
      const { repo, revision, path } = parseAddress(text)
      return [repo, revision, path]
    }
    assert.deepEqual(of('images@{2026-11-13T10:00Z}:a:b'), ['images', '{2026-11-13T10:00Z}', 'a:b'])
    assert.deepEqual(of('images@master@{2026-11-13T10:00Z}^'), ['images', 'master@{2026-11-13T10:00Z}^', undefined])
    assert.deepEqual(of('images@master:a{1:2}'), ['images', 'master', 'a{1:2}'])
    assert.deepEqual([baseOf('master@{2026-11-13}^'), baseOf('{2026-11-13}'), baseOf('v1^2')], ['master', '', 'v1'])
  })

  it('leave everything after the first colon to the path', () => {
    assert.equal(parseFile('images@master:a:b@c').path, 'a:b@c')
    assert.equal(parseFile('images@master:/a').path, '/a')
  })

  it('that lack a part are refused with what to write', () => {
    assert.throws(() => parseAddress('@master'), UsageError)
    assert.throws(() => parseAddress('images@'), UsageError)
    assert.throws(() => parseRevision('images'), /images@BRANCH-OR-COMMIT/)
    assert.throws(() => parseRevision('images@master:a'), /leave :a out/)
    assert.throws(() => parseFile('images@master'), /repo@branch-or-commit:path/)
    assert.throws(() => parseFile('images@master:'), UsageError)
  })

  it('that name a commit can not be written to', () => {
    assert.throws(() => parseBranch('images@master^'), /only a branch/)
    assert.throws(() => parseTarget('images@c721c4bb9a8046f3a7319ed97d256bb9:a'), /only a branch/)
    assert.deepEqual(parseTarget('images@v1.x:a'), { repo: 'images', branch: 'v1.x', path: 'a' })
  })

  it('of a revision may say its repo once more, and no other one', () => {
    for (const revision of ['master^', 'master@{2026-11-13T10:00Z}', 'v1', 'c721c4bb']) {
      assert.equal(revisionIn('images', revision), revision)
      assert.equal(revisionIn('images', `images@${revision}`), revision)
      assert.throws(() => revisionIn('images', `edges@${revision}`), /of another repo/)
    }
    // A branch may be called as its repo is.
    assert.equal(revisionIn('images', 'images@{2026-11-13}'), 'images@{2026-11-13}')
  })

  it('know a commit from a branch by its looks', () => {
    assert.ok(isCommitId('c721c4bb'))
    assert.ok(!isCommitId('c721c4b'))
    assert.ok(!isCommitId('master'))
    assert.equal(baseOf('master^^2'), 'master')
  })
})
