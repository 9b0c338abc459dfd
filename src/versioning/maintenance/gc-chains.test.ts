import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import { Leases } from '../history/index.ts'
import { type CommitId, CommitNotFound } from '../model/index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const first = branchOf('first@master')
const second = branchOf('second@master')
const third = branchOf('third@master')

interface Stall {
  readonly reached: PromiseWithResolvers<void>
  readonly go: PromiseWithResolvers<void>
}

/** Whoever runs in it waits before its next write to the metadata. */
const stalls = new AsyncLocalStorage<Stall>()

function stalled<T>(work: () => Promise<T>): Stall & { readonly done: Promise<T> } {
  const stall = { reached: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() }
  return { ...stall, done: stalls.run(stall, work) }
}

describe('garbage collection, against trees that are made from trees which are removed meanwhile', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    const write = store.db.write.bind(store.db)
    mock.method(store.db, 'write', async (...input: Parameters<typeof write>) => {
      const stall = stalls.getStore()
      stall?.reached.resolve()
      await stall?.go.promise
      return write(...input)
    })
  })

  afterEach(async () => {
    mock.restoreAll()
    await store.close()
  })

  /** Runs after the n-th time that a collection has waited for makers, and before it reads the rows. */
  function betweenWaitAndRows(steps: readonly (() => Promise<void>)[]): void {
    const settled = Leases.prototype.settled
    let count = 0
    mock.method(Leases.prototype, 'settled', async function (this: Leases, signal: AbortSignal) {
      await settled.call(this, signal)
      await steps[count++]?.()
    })
  }

  const copied = (from: typeof first, commit: CommitId, to: typeof first) =>
    stalled(() => store.versioning.moves.copy(to, { repo: from.repo, commit }, { from: 'dir/', to: 'dir/' }))

  it('keeps what came through a chain of copies, each source of which was deleted', async () => {
    const { versioning } = store
    for (const at of [first, second, third]) await versioning.createBranch(at)
    const body = randomBytes(5_000).toString('hex')
    await putText(versioning, first, 'dir/a', body)
    const { id } = await sealCommit(versioning, first)
    let one: ReturnType<typeof copied> | undefined
    let other: ReturnType<typeof copied> | undefined
    let between: CommitId | undefined
    betweenWaitAndRows([
      async () => {
        one = copied(first, id, second)
        await one.reached.promise
        await versioning.deleteRepo(first.repo)
      },
      async () => {
        other = copied(second, between!, third)
        await other.reached.promise
        await versioning.deleteRepo(second.repo)
      },
    ])
    for await (const event of versioning.maintenance.gc({ graceMs: 0 })) {
      if (event.kind === 'done' || event.phase === 'commits') continue
      if (between === undefined && one) {
        one.go.resolve()
        between = (await one.done).commit.id
      } else if (other) {
        other.go.resolve()
        await other.done
      }
    }
    await store.reopen()
    assert.equal(await getText(store.versioning, third, 'dir/a'), body)
    await assertSound(store, { deep: true })
  })

  it('makes nothing of a commit that is gone, though its tree is remembered', async () => {
    const { versioning } = store
    for (const at of [first, second]) await versioning.createBranch(at)
    await putText(versioning, first, 'dir/a', 'a')
    const { id } = await sealCommit(versioning, first)
    assert.deepEqual(await listAll(versioning, { kind: 'commit', repo: first.repo, commit: id }), ['dir/a'])
    await versioning.deleteRepo(first.repo)
    const copy = versioning.moves.copy(second, { repo: first.repo, commit: id }, { from: 'dir/', to: 'dir/' })
    await assert.rejects(copy, CommitNotFound)
  })

  it('keeps a tree that was let go while it runs, and removes it the next time', async () => {
    const { versioning } = store
    await versioning.createBranch(first)
    await putText(versioning, first, 'a', randomBytes(5_000).toString('hex'))
    await sealCommit(versioning, first)
    betweenWaitAndRows([() => versioning.deleteRepo(first.repo)])
    const nodes: number[] = []
    for (let run = 0; run < 2; run++) {
      for await (const event of versioning.maintenance.gc({ graceMs: 0 })) {
        if (event.kind === 'done') nodes.push(event.nodes)
      }
      assert.equal((await store.db.get<{ n: number }>('SELECT count(*) AS n FROM let_go'))!.n, 0)
    }
    assert.deepEqual(nodes, [0, 1])
    await assertSound(store, { deep: true })
  })

  it('forgets at the next start what a collection that was cut off had written down', async () => {
    await store.versioning.createBranch(first)
    await putText(store.versioning, first, 'a', 'a')
    await sealCommit(store.versioning, first)
    await store.db.write((tx) => tx.run('INSERT INTO collecting (id) VALUES (1)'))
    await store.versioning.deleteRepo(first.repo)
    const count = async () => (await store.db.get<{ n: number }>('SELECT count(*) AS n FROM let_go'))!.n
    assert.equal(await count(), 1)
    await store.reopen()
    assert.equal(await count(), 0)
    await store.versioning.createBranch(second)
    await store.versioning.deleteRepo(second.repo)
    assert.equal(await count(), 0)
  })
})
