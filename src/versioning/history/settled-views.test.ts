import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BranchName, CommitId, RepoName, TargetInfo, TreeHash } from '../model/index.ts'
import { SettledViews } from './settled-views.ts'

const target = { kind: 'branch', repo: 'images' as RepoName, branch: 'master' as BranchName } as const
const info: TargetInfo = { target, repo: target.repo, branch: target.branch, commit: 'c' as CommitId, provenance: [] }
const view = { root: 'aa' as TreeHash, info }

describe('what is known of a branch without staged changes', () => {
  it('holds until anything is committed', () => {
    const db: { unchangedSince: number | undefined } = { unchangedSince: 2 }
    const views = new SettledViews(db)
    views.keep(views.begin(), target, view)
    assert.equal(views.get(target), view)
    assert.equal(views.get({ ...target, repo: 'edges' as RepoName }), undefined)
    db.unchangedSince = undefined
    assert.equal(views.get(target), undefined, 'while a commit is under way some readers see it and others do not')
    db.unchangedSince = 4
    assert.equal(views.get(target), undefined)
  })

  it('is not kept if something was committed while it was read', () => {
    const db: { unchangedSince: number | undefined } = { unchangedSince: 2 }
    const views = new SettledViews(db)
    const begun = views.begin()
    db.unchangedSince = 4
    views.keep(begun, target, view)
    assert.equal(views.get(target), undefined)
    db.unchangedSince = undefined
    views.keep(views.begin(), target, view)
    assert.equal(views.get(target), undefined)
  })

  it('is let go with what was known before a later commit', () => {
    const db: { unchangedSince: number | undefined } = { unchangedSince: 2 }
    const views = new SettledViews(db)
    views.keep(views.begin(), target, view)
    db.unchangedSince = 4
    views.keep(views.begin(), { ...target, repo: 'edges' as RepoName }, view)
    assert.equal(views.get(target), undefined)
  })
})
