import {
  type BranchAddress,
  type BranchName,
  type Commit,
  type CommitId,
  type CommitRef,
  NothingToFinish,
  type RepoName,
} from '../../model/index.ts'
import { getBranch, writableBranch } from '../branches.ts'
import { getCommit } from '../commits.ts'
import type { HistoryContext } from '../context.ts'
import { findCommit } from '../resolve.ts'
import { loadBatchRules, loadHolds } from './batch-store.ts'
import type { Batches } from './batches.ts'
import type { Finisher } from './finisher.ts'
import { HOLD_MS } from './holds.ts'
import { openBatch, sealOpenBatch } from './seal.ts'

/** Another process may change things without this one being told. */
const POLL_MS = 1_000

/** The open commits of branches: pinned, sealed and waited for. */
export class OpenCommits {
  readonly #context: HistoryContext
  readonly #batches: Batches
  readonly #finisher: Finisher

  constructor(context: HistoryContext, batches: Batches, finisher: Finisher) {
    this.#context = context
    this.#batches = batches
    this.#finisher = finisher
  }

  /** Takes up what was open when the store was last used, with the rules and holds it is under. */
  async takeUp(): Promise<void> {
    const { db, clock } = this.#context
    await loadBatchRules(db, this.#batches)
    await loadHolds(db, this.#batches, clock.now() - HOLD_MS)
    const open = await db.all<{ repo: string; branch: string; started_ms: number; changes: number }>(
      `SELECT c.repo, c.branch, c.started_ms, b.last_seq - c.from_seq AS changes FROM commits AS c
       JOIN branches AS b ON b.open_commit = c.id WHERE c.state = 'open' AND c.pinned = 0`,
    )
    for (const row of open) {
      this.#batches.found({ repo: row.repo as RepoName, branch: row.branch as BranchName }, row.started_ms, row.changes)
    }
  }

  async pin(at: BranchAddress, input: { message?: string; author?: string }): Promise<CommitId> {
    const { clock, db } = this.#context
    return db.write(async (tx) => {
      const branch = await writableBranch(tx, at)
      const commit = (branch.open_commit ?? this.#context.newCommitId()) as CommitId
      if (!branch.open_commit) await openBatch(tx, branch.id, commit, { nowMs: clock.now(), pinned: true })
      await tx.run('UPDATE commits SET pinned = 1, message = coalesce(?, message) WHERE id = ?', [
        input.message ?? null,
        commit,
      ])
      if (input.author) {
        await tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
      }
      return commit
    })
  }

  /** Seals it, whoever holds it. Throws NothingToFinish. */
  async finish(at: BranchAddress, input: { message?: string }): Promise<CommitId> {
    const { branchId, sealed } = await this.#context.db.write(async (tx) => {
      const branch = await writableBranch(tx, at)
      const sealed = await sealOpenBatch(tx, branch.id, { includePinned: true })
      if (!sealed) {
        throw new NothingToFinish(
          `${at.repo}@${at.branch} has no open commit to finish: nothing was written since the last, which an idle branch gets by itself`,
          { repo: at.repo, branch: at.branch },
        )
      }
      if (input.message !== undefined) {
        await tx.run('UPDATE commits SET message = ? WHERE id = ?', [input.message, sealed])
      }
      return { branchId: branch.id, sealed }
    })
    this.sealed(at, branchId)
    return sealed
  }

  /** Seals it unless somebody holds it, or by `force` all the same. Returns the newest commit, which may be open still. */
  async seal(at: BranchAddress, { force = false }: { force?: boolean }): Promise<CommitRef | undefined> {
    const branch = await getBranch(this.#context.db, at)
    const isHeld = !force && this.#batches.heldBy(at) !== undefined
    // Read in the transaction that seals: a PUT right after it opens a batch that nobody asked about.
    const { sealed, newest } = await this.#context.db.write(async (tx) => {
      const sealed = branch.derived || isHeld ? undefined : await sealOpenBatch(tx, branch.id, { includePinned: force })
      const row = await tx.get<{ id: string | null }>(
        'SELECT coalesce(open_commit, tip, head) AS id FROM branches WHERE id = ?',
        [branch.id],
      )
      return { sealed, newest: row?.id as CommitId | null | undefined }
    })
    if (sealed) this.sealed(at, branch.id)
    return newest ? { repo: at.repo, commit: newest } : undefined
  }

  /** As a rule of the batch asks for. */
  async sealIdle(at: BranchAddress): Promise<void> {
    const { db } = this.#context
    const row = await db.get<{ id: number }>('SELECT id FROM branches WHERE repo = ? AND name = ?', [
      at.repo,
      at.branch,
    ])
    if (!row) return
    const sealed = await db.write((tx) => sealOpenBatch(tx, row.id, { includePinned: false }))
    if (sealed) this.sealed(at, row.id)
  }

  /** Whatever was acknowledged before is part of the head after, but for a batch that somebody holds. */
  async settle(at: BranchAddress): Promise<void> {
    await this.seal(at, {})
    // Not the open batch, if there is one: that is held, or was opened after this was asked.
    const row = await this.#context.db.get<{ tip: string | null }>(
      'SELECT tip FROM branches WHERE repo = ? AND name = ? AND pipeline IS NULL',
      [at.repo, at.branch],
    )
    if (row?.tip) await this.waitFor(row.tip as CommitId)
  }

  /** A batch of the branch was sealed, by this or by whatever moved the branch. */
  sealed(at: BranchAddress, branchId: number): void {
    this.#batches.sealed(at)
    this.#finisher.wake(branchId)
  }

  /** Resolves when the commit is finished or failed, or the signal is aborted. */
  async waitFor(commit: CommitId, signal?: AbortSignal): Promise<Commit> {
    const { db } = this.#context
    const subscription = this.#context.signal.subscribe()
    try {
      for (;;) {
        const { repo } = await findCommit(db, commit)
        const found = this.#batches.describeHold(await getCommit(db, repo, commit))
        if (found.state === 'finished' || found.state === 'failed' || signal?.aborted) return found
        await subscription.changed(POLL_MS, signal)
      }
    } finally {
      subscription.end()
    }
  }
}
