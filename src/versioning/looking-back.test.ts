import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { InvalidInput } from '../kernel/index.ts'
import {
  type BranchAddress,
  type Commit,
  type CommitId,
  CommitNotFound,
  type DiffStat,
  parsePath,
  TransactionNotFound,
} from './index.ts'
import { putText } from './testing/store.ts'
import { all, Timeline } from './testing/timeline.ts'

const past = new Timeline()
const resolve = (revision: string) => past.versioning.resolveRevision(past.at.repo, revision)

describe('a revision by time', () => {
  it('is the newest commit that had become the head by then: of a day all of it, of a moment that moment, in UTC', async () => {
    past.now = Date.parse('2026-11-12T23:59:59.999Z')
    const first = await past.commit({ a: '1' })
    past.now = Date.parse('2026-11-13T09:00:00Z')
    const second = await past.commit({ a: '2' })
    past.now = Date.parse('2026-11-13T12:00:00Z')
    const third = await past.commit({ a: '3' })
    for (const [time, wanted] of [
      ['2026-11-12', first],
      ['2026-11-13', third],
      ['2026-11-13T09:00Z', second],
      ['2026-11-13T08:59:59.999Z', first],
      ['2026-11-13T10:30+01:00', second],
      ['2026-11-13 11:59', second],
      ['2030-01-01', third],
    ] as const) {
      assert.equal(await resolve(`master@{${time}}`), wanted.id, time)
      assert.equal(await resolve(`{${time}}`), wanted.id, time)
    }
    assert.equal(await resolve('master@{2026-11-13}^'), second.id)
    assert.equal(await resolve('{2026-11-13}^2'), first.id)
    assert.equal(await resolve(`${second.id}@{2026-11-13}`), second.id)
    await assert.rejects(resolve('master@{2026-11-11}'), /no finished commit yet at 2026-11-11T23:59:59\.999Z/)
    await assert.rejects(resolve('{2026-11-13}^3'), CommitNotFound)
  })

  it('follows the line that a branch was moved to, as its log and the logs of its files do', async () => {
    const made: Commit[] = []
    for (let day = 1; day <= 4; day++) {
      past.now = Date.parse(`2026-11-0${day}T12:00:00Z`)
      made.push(await past.commit({ a: String(day) }))
    }
    const [one, two, three, four] = made
    past.now = Date.parse('2026-11-05T12:00:00Z')
    await past.versioning.moveBranch(past.at, two!.id)
    assert.equal(await resolve('{2026-11-04}'), two!.id)
    const after = await past.commit({ a: '5' })
    for (const [day, wanted] of [
      ['2026-11-05', after],
      ['2026-11-04', two],
      ['2026-11-03', two],
      ['2026-11-01', one],
    ] as const) {
      assert.equal(await resolve(`master@{${day}}`), wanted!.id, day)
    }
    assert.equal(await resolve(`${four!.id}@{2026-11-03}`), three!.id)
    const line = [after.id, two!.id, one!.id]
    const log = await past.versioning.listCommits(past.at.repo, { branch: past.at.branch })
    assert.deepEqual(
      log.map(({ id }) => id),
      line,
    )
    const changes = await all(past.versioning.lookingBack.fileLog(past.at.repo, after.id, { path: parsePath('a') }))
    assert.deepEqual(
      changes.map(({ commit }) => commit.id),
      line,
    )
    const below = await all(past.versioning.lookingBack.fileLog(past.at.repo, after.id, { prefix: '' }))
    assert.deepEqual(
      below.map(({ commit }) => commit.id),
      line,
    )
  })

  it('is refused where it is no time, or no revision', async () => {
    await past.commit({ a: '1' })
    for (const time of [
      '2026-02-30',
      '2026-13-01',
      'yesterday',
      '',
      '2026-11-13T25:00Z',
      '2026-11-13T10Z',
      '20261113',
    ]) {
      await assert.rejects(resolve(`master@{${time}}`), InvalidInput, time)
    }
    for (const text of [
      'master{2026-11-13}',
      'master^@{2026-11-13}',
      '^',
      '',
      '@',
      'master@',
      'master@{2026-11-13',
      'a@b',
    ]) {
      await assert.rejects(
        resolve(text),
        (error: Error) => error instanceof CommitNotFound || error.name === 'InvalidName',
        text,
      )
    }
    await assert.rejects(resolve('master^999999'), /goes back more than/)
  })

  it('counts a clock that goes back as standing still, over branches that were made from branches', async () => {
    const steps = fc.array(
      fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({ kind: fc.constant('commit' as const), ms: fc.integer({ min: -50, max: 60 }) }),
        },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('branch' as const), of: fc.nat(5) }) },
      ),
      { minLength: 1, maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        let line = await past.newRepo('b0')
        const { repo } = line
        past.now = 1_000_000
        let branches = 0
        // What each line knows of itself: its commits with the time of its clock, the oldest first.
        let history: { id: CommitId; ms: number }[] = []
        let own = 0
        for (const step of list) {
          if (step.kind === 'branch') {
            const cut = history.length === 0 ? 0 : (step.of % history.length) + 1
            if (cut === 0) continue
            history = history.slice(0, cut)
            line = past.beside(`b${++branches}`, line)
            await past.versioning.createBranch(line, { from: history.at(-1)!.id })
            own = 0
            continue
          }
          past.now += step.ms
          const { id } = await past.commit({ a: String(past.now) }, line)
          history.push({ id, ms: Math.max(past.now, history.at(-1)?.ms ?? 0) })
          own++
        }
        assert.ok(own <= history.length)
        for (let ms = 1_000_000 - 60; ms < past.now + 120; ms += 7) {
          const wanted = history.findLast((one) => one.ms <= ms)?.id
          const revision = `${line.branch}@{${new Date(ms).toISOString()}}`
          const found = await past.versioning.resolveRevision(repo, revision).catch((error: unknown) => {
            assert.ok(error instanceof CommitNotFound)
            return undefined
          })
          assert.equal(found, wanted)
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe('a log', () => {
  const ids = (commits: readonly Commit[]) => commits.map(({ id }) => id)

  it('follows first parents through the branches behind, page by page', async () => {
    const line = [await past.commit({ a: '1' }), await past.commit({ a: '2' })]
    await past.commit({ a: 'not of the other branch' })
    const other = past.beside('other')
    await past.versioning.createBranch(other, { from: line[1]!.id })
    line.push(await past.commit({ b: '1' }, other))
    line.push(await past.versioning.restore(other, line[0]!.id))
    await putText(past.versioning, other, 'c', 'open')
    const open = (await past.versioning.getBranch(other)).openCommit!
    const wanted = [open, ...ids(line).toReversed()]
    assert.deepEqual(ids(await past.versioning.listCommits(past.at.repo, { branch: other.branch })), wanted)
    const paged: CommitId[] = []
    for (;;) {
      const before = paged.at(-1)
      const page = await past.versioning.listCommits(past.at.repo, {
        branch: other.branch,
        limit: 2,
        ...(before && { before }),
      })
      if (page.length === 0) break
      paged.push(...ids(page))
    }
    assert.deepEqual(paged, wanted)
    assert.deepEqual(
      ids(await past.versioning.listCommits(past.at.repo, { from: line[1]!.id })),
      ids(line.slice(0, 2).toReversed()),
    )
    assert.deepEqual(
      ids(await past.versioning.listCommits(past.at.repo, { from: line[3]!.id, before: line[2]!.id })),
      ids(line.slice(0, 2).toReversed()),
    )
    assert.equal((await past.versioning.listCommits(past.at.repo)).length, 6)
    assert.deepEqual((await past.versioning.getCommit(past.at.repo, line[2]!.id)).authors, ['somebody'])
  })

  it('is cut by times, of a branch and of a repo', async () => {
    const made: Commit[] = []
    for (let day = 1; day <= 5; day++) {
      past.now = Date.parse(`2026-11-0${day}T12:00:00Z`)
      made.push(await past.commit({ a: String(day) }))
    }
    const other = past.beside('other')
    await past.versioning.createBranch(other, { from: made[1]!.id })
    past.now = Date.parse('2026-11-03T13:00:00Z')
    const side = await past.commit({ b: '1' }, other)
    const untilMs = Date.parse('2026-11-04T12:00:00Z')
    const sinceMs = Date.parse('2026-11-02T12:00:00Z')
    const list = async (query: Parameters<typeof past.versioning.listCommits>[1]) =>
      ids(await past.versioning.listCommits(past.at.repo, query))
    const [, two, three, four, five] = ids(made)
    const { branch } = past.at
    assert.deepEqual(await list({ branch, untilMs, sinceMs }), [four, three, two])
    assert.deepEqual(await list({ branch, untilMs, sinceMs, before: four!, limit: 1 }), [three])
    assert.deepEqual(await list({ branch, sinceMs }), [five, four, three, two])
    assert.deepEqual(await list({ untilMs, sinceMs }), [four, side.id, three, two])
    assert.deepEqual(await list({ untilMs, sinceMs, before: side.id }), [three, two])
    assert.deepEqual(await list({ branch: other.branch, untilMs, sinceMs }), [side.id, two])
    assert.deepEqual(await list({ branch, untilMs: 0 }), [])
  })

  it('says that the commit it is to go on after is gone', async () => {
    await past.commit({ a: '1' })
    const tx = { repo: past.at.repo, branch: 'tx-t.master' as BranchAddress['branch'] }
    const { transaction } = await past.versioning.transactions.open(tx)
    await past.versioning.transactions.abort(tx)
    await assert.rejects(past.versioning.listCommits(past.at.repo, { before: transaction.commit }), CommitNotFound)
  })
})

describe('a diff', () => {
  const show = async (...args: Parameters<typeof past.versioning.diff>) =>
    (await all(past.versioning.diff(...args))).map(({ kind, path }) => `${kind} ${path}`)

  it('comes in pages, with a prefix', async () => {
    const first = await past.commit({ 'a/1': '1', 'a/2': '2', b: '3', 'c/1': 'x' })
    const second = await past.commit({ 'a/1': 'new', 'a/2': null, 'c/2': 'y', d: 'z' })
    const whole = await show(first.id, second.id)
    assert.deepEqual(whole, ['changed a/1', 'deleted a/2', 'added c/2', 'added d'])
    assert.deepEqual(await show(first.id, second.id, { after: 'a/1', limit: 2 }), whole.slice(1, 3))
    assert.deepEqual(await show(first.id, second.id, { after: 'a/15' }), whole.slice(1))
    assert.deepEqual(await show(first.id, second.id, { prefix: 'c/' }), ['added c/2'])
    assert.deepEqual(await show(first.id, second.id, { prefix: 'c/', after: 'c/2' }), [])
    assert.deepEqual(await show('empty', second.id, { limit: 1 }), ['added a/1'])
    const stat = await all(past.versioning.lookingBack.diffStat(first.id, second.id))
    const line = ({ path, added, deleted, changed }: DiffStat) => [
      path,
      added.files,
      added.bytes,
      deleted.files,
      deleted.bytes,
      changed.files,
      changed.bytesBefore,
      changed.bytesAfter,
    ]
    assert.deepEqual(stat.map(line), [
      ['a/', 0, 0, 1, 1, 1, 1, 3],
      ['c/', 1, 1, 0, 0, 0, 0, 0],
      ['', 1, 1, 0, 0, 0, 0, 0],
      [null, 2, 2, 1, 1, 1, 1, 3],
    ])
  })

  it('shows what an open transaction holds, against its base and any commit', async () => {
    const first = await past.commit({ a: '1', b: '2', c: '3' })
    const transaction = { repo: past.at.repo, branch: 'tx-t.master' as BranchAddress['branch'] }
    await past.versioning.transactions.open(transaction)
    await putText(past.versioning, transaction, 'a', 'new')
    await putText(past.versioning, transaction, 'd/1', '4')
    await putText(past.versioning, transaction, 'd/2', '4')
    await past.versioning.delete(transaction, parsePath('b'))
    await putText(past.versioning, transaction, 'e', 'gone again')
    await past.versioning.delete(transaction, parsePath('e'))
    const base = await past.versioning.lookingBack.baseOf({ transaction })
    assert.equal(base, first.id)
    const wanted = ['changed a', 'deleted b', 'added d/1', 'added d/2']
    assert.deepEqual(await show(base, { transaction }), wanted)
    assert.deepEqual(await show(base, { transaction }, { prefix: 'd/', after: 'd/1' }), ['added d/2'])
    const second = await past.commit({ c: 'other', x: '1' })
    assert.deepEqual(await show(second.id, { transaction }), [
      ...wanted.slice(0, 2),
      'changed c',
      ...wanted.slice(2),
      'deleted x',
    ])
    assert.deepEqual(await show({ transaction }, 'empty'), ['deleted a', 'deleted c', 'deleted d/1', 'deleted d/2'])
    await past.versioning.transactions.abort(transaction)
    await assert.rejects(show(base, { transaction }), TransactionNotFound)
  })
})
