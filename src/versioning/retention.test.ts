import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import type { Clock } from '../kernel/index.ts'
import {
  type CommitId,
  type ExpiredCommit,
  parseBranchName,
  parseRepoName,
  RepoNotFound,
  type RetentionPolicy,
} from './index.ts'
import { expiredCommits, stillExpired } from './maintenance/index.ts'
import { branchOf, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'
import { tx } from './testing/transactions.ts'

const DAY_MS = 86_400_000
const GRACE_MS = 14 * DAY_MS
const images = branchOf('images@master')

describe('retention', () => {
  let store: TestStore
  let nowMs: number
  const clock: Clock = { now: () => nowMs }

  beforeEach(async () => {
    nowMs = Date.UTC(2026, 0, 1)
    store = await openTestStore({ clock })
    await store.versioning.createBranch(images)
  })
  afterEach(() => store.close())

  const commitDaily = async (days: number, at = images): Promise<CommitId[]> => {
    const ids: CommitId[] = []
    for (let day = 0; day < days; day++) {
      await putText(store.versioning, at, 'a.txt', `${at.branch} ${nowMs}`)
      ids.push((await sealCommit(store.versioning, at)).id)
      nowMs += DAY_MS
    }
    return ids
  }
  const preview = async (policy?: RetentionPolicy): Promise<ExpiredCommit[]> => {
    const found: ExpiredCommit[] = []
    for await (const one of store.versioning.retention.preview(images.repo, policy)) found.push(one)
    return found
  }
  const expired = async (): Promise<CommitId[]> => {
    const ids: CommitId[] = []
    for await (const slice of expiredCommits(store.db, { nowMs, graceMs: GRACE_MS })) {
      ids.push(...slice.map(({ commit }) => commit))
    }
    return ids
  }
  /** As garbage collection does it, as far as commits go. */
  const remove = (ids: readonly CommitId[]) =>
    store.db.write(async (tx) => {
      const going = await stillExpired(tx, ids)
      await tx.run('DELETE FROM commits WHERE id IN (SELECT value FROM json_each(?))', [JSON.stringify(going)])
    })

  it('keeps everything that a branch leads to where a repo has no rules', async () => {
    await commitDaily(20)
    nowMs += 1000 * DAY_MS
    assert.deepEqual(await expired(), [])
  })

  it('keeps what any rule keeps, and the newest commit in any case', async () => {
    const ids = await commitDaily(10)
    const gone = async (policy: RetentionPolicy) => (await preview(policy)).map(({ commit }) => ids.indexOf(commit))
    assert.deepEqual(await gone({ keepDays: 4 }), [0, 1, 2, 3, 4, 5])
    assert.deepEqual(await gone({ keepCommits: 3 }), [0, 1, 2, 3, 4, 5, 6])
    assert.deepEqual(await gone({ keepDays: 4, keepCommits: 7 }), [0, 1, 2])
    nowMs += 1000 * DAY_MS
    assert.deepEqual(await gone({ keepDays: 1 }), [0, 1, 2, 3, 4, 5, 6, 7, 8])
    // A preview changes nothing, and says why.
    assert.equal(await store.versioning.retention.get(images.repo), undefined)
    assert.ok((await preview({ keepDays: 1 })).every(({ why }) => why === 'retention'))
    await store.versioning.retention.set(images.repo, { keepCommits: 9 })
    assert.deepEqual(await expired(), [ids[0]])
    await store.versioning.retention.set(images.repo, undefined)
    assert.deepEqual(await expired(), [])
  })

  it('keeps what is tagged, what a transaction stands on, and the inputs of what is being computed', async () => {
    const ids = await commitDaily(6)
    await store.versioning.commitTags.create(images.repo, parseBranchName('v1'), ids[1]!)
    await store.versioning.transactions.open(tx('load'))
    await commitDaily(3)
    const edges = branchOf('edges@master')
    await store.versioning.createBranch(edges)
    await store.db.write(async (tx) => {
      // As a pipeline has it whose job is not done.
      await tx.run("UPDATE branches SET pipeline = 'edges' WHERE repo = 'edges'")
      await tx.run(
        `INSERT INTO provenance (commit_id, upstream_id, upstream_repo, upstream_branch, direct)
         SELECT open_commit, ?, 'images', 'master', 1 FROM branches WHERE open_commit IS NOT NULL AND kind = 'transaction'`,
        [ids[3]!],
      )
    })
    nowMs += 100 * DAY_MS
    const gone = (await preview({ keepDays: 1 })).map(({ commit }) => ids.indexOf(commit))
    assert.deepEqual(
      gone.filter((index) => index >= 0),
      [0, 2, 4],
    )
  })

  it('keeps all that a branch leads to which was made on a lost commit after that was looked at', async () => {
    const dev = branchOf('images@dev')
    await store.versioning.createBranch(dev, { from: (await commitDaily(1))[0]! })
    const lost = await commitDaily(3, dev)
    await store.versioning.deleteBranch(dev, { force: true })
    await expired()
    nowMs += GRACE_MS
    const ids = await expired()
    assert.deepEqual(ids, lost)
    await store.versioning.createBranch(branchOf('images@again'), { from: lost[2]! })
    await remove(ids)
    for (const id of lost) assert.equal((await store.versioning.getCommit(images.repo, id)).id, id)
    assert.deepEqual(await expired(), [])
  })

  it('lets what nothing leads to go when the grace is over, counted from when it was first seen', async () => {
    const dev = branchOf('images@dev')
    const [first] = await commitDaily(3)
    await store.versioning.createBranch(dev, { from: first! })
    const ids = await commitDaily(2, dev)
    nowMs += 500 * DAY_MS
    await store.versioning.deleteBranch(dev, { force: true })
    assert.deepEqual(await expired(), [])
    nowMs += GRACE_MS - 1
    assert.deepEqual(await expired(), [])
    nowMs += 1
    assert.deepEqual(await expired(), ids)
    // A branch that leads there again keeps them, and the time begins anew.
    await store.versioning.createBranch(dev, { from: ids[1]! })
    assert.deepEqual(await expired(), [])
    await store.versioning.deleteBranch(dev, { force: true })
    assert.deepEqual(await expired(), [])
    nowMs += GRACE_MS
    assert.deepEqual(await expired(), ids)
  })

  it('keeps what came by a merge, whose branch is gone', async () => {
    const dev = branchOf('images@dev')
    const [first] = await commitDaily(2)
    await store.versioning.createBranch(dev, { from: first! })
    await putText(store.versioning, dev, 'dev.txt', 'dev')
    const { id } = await sealCommit(store.versioning, dev)
    await store.versioning.merges.merge(images, id)
    await store.versioning.deleteBranch(dev, { force: true })
    await expired()
    nowMs += 2 * GRACE_MS
    assert.deepEqual(await expired(), [])
    assert.equal((await store.versioning.getCommit(images.repo, id)).id, id)
  })

  it('asks again in the transaction that removes, since a commit may have been taken up meanwhile', async () => {
    const ids = await commitDaily(5)
    await store.versioning.retention.set(images.repo, { keepCommits: 1 })
    const found = await expired()
    assert.deepEqual(found, ids.slice(0, 4))
    await store.versioning.createBranch(branchOf('images@rescue'), { from: ids[2]! })
    await remove(found)
    assert.equal((await store.versioning.getCommit(images.repo, ids[2]!)).id, ids[2])
    await assert.rejects(store.versioning.getCommit(images.repo, ids[1]!))
  })

  it('refuses rules that keep nothing, or make no sense', async () => {
    const { retention } = store.versioning
    for (const policy of [{}, { keepDays: 0 }, { keepDays: 1.5 }, { keepCommits: -1 }, { keepDays: 1e9 }]) {
      await assert.rejects(retention.set(images.repo, policy), { code: 'InvalidInput' })
    }
    await assert.rejects(retention.set(parseRepoName('other'), { keepDays: 1 }), RepoNotFound)
    await assert.rejects(retention.get(parseRepoName('other')), RepoNotFound)
  })

  it('never gives a commit that something stands on, whatever the history; and nothing twice', async () => {
    const operations = fc.array(
      fc.record({
        kind: fc.constantFrom(
          'commit',
          'commit',
          'branch',
          'delete',
          'tag',
          'transaction',
          'restore',
          'collect',
          'policy',
        ),
        branch: fc.integer({ min: 0, max: 3 }),
        pick: fc.nat(),
        days: fc.integer({ min: 0, max: 20 }),
      }),
      { minLength: 5, maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(operations, (steps) => history(steps)),
      { numRuns: 30 },
    )
  })

  let round = 0
  /** Plays a history, collects after it, and compares with what must be there by other means. */
  async function history(
    steps: readonly { kind: string; branch: number; pick: number; days: number }[],
  ): Promise<void> {
    const { versioning } = store
    const repo = parseRepoName(`r${round++}`)
    const at = (branch: number) => branchOf(`${repo}@b${branch}`)
    await versioning.createBranch(at(0))
    const tagged: CommitId[] = []
    for (const [index, { kind, branch, pick, days }] of steps.entries()) {
      nowMs += days * DAY_MS
      const branches = await versioning.listBranches(repo)
      const commits = (await versioning.listCommits(repo, { limit: 1000 })).filter(({ state }) => state === 'finished')
      const some = commits[pick % Math.max(1, commits.length)]?.id
      const there = branches.some(({ name }) => name === `b${branch}`)
      if (kind === 'commit' && there) {
        await putText(versioning, at(branch), `f${pick % 5}`, `${index}`)
        await sealCommit(versioning, at(branch))
      }
      if (kind === 'branch' && !there && some) await versioning.createBranch(at(branch), { from: some })
      if (kind === 'delete' && there && branches.length > 1) await versioning.deleteBranch(at(branch), { force: true })
      if (kind === 'tag' && some) {
        await versioning.commitTags.create(repo, parseBranchName(`t${index}`), some)
        tagged.push(some)
      }
      if (kind === 'restore' && there && some) await versioning.restore(at(branch), some)
      if (kind === 'transaction' && there && pick % 3 === 0)
        await versioning.transactions.open(tx(`x${index}`, at(branch)))
      if (kind === 'policy') {
        await versioning.retention.set(
          repo,
          pick % 3 === 0 ? undefined : { keepDays: 1 + (pick % 9), keepCommits: 1 + (pick % 4) },
        )
      }
      if (kind === 'collect') await remove(await expired())
    }
    await remove(await expired())
    assert.deepEqual(await expired(), [], 'what may go has gone')
    const policy = await versioning.retention.get(repo)
    for (const { name, head } of await versioning.listBranches(repo)) {
      if (head === undefined) continue
      let commit = await versioning.getCommit(repo, head)
      // Without rules the whole line of parents is there, unless rules of before cut it.
      while (policy === undefined && !steps.some(({ kind }) => kind === 'policy') && commit.parents[0] !== undefined) {
        commit = await versioning.getCommit(repo, commit.parents[0])
      }
      await versioning.list({ kind: 'branch', repo, branch: parseBranchName(name) }, { limit: 10 })
    }
    for (const commit of tagged) await versioning.getCommit(repo, commit)
  }
})
