import { errorMessage, faultPoint, StorageFull, type Transaction } from '../../../kernel/index.ts'
import type { CommitId, TreeHash } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import type { HistoryContext } from '../context.ts'
import { noteHeadTime } from '../log/commit-times.ts'
import { propagate } from '../propagation.ts'
import type { GroupWritten } from './staging.ts'

/** Changes folded at a time; each slice is durable progress that a crash does not undo. */
const CHANGES_PER_SLICE = 20_000
/** An open batch is folded along the way from here, so that views stay small. */
const FOLD_ALONG_FROM = 10_000
/** After a failure (a full disk, a damaged node) it is tried again. */
const RETRY_MS = 2_000

interface Unfinished {
  readonly id: string
  readonly branch_id: number
  readonly ordinal: number
  readonly kind: 'batch' | 'tree'
  readonly state: 'open' | 'sealed'
  readonly root: string
  readonly parent: string | null
  readonly folded_seq: number
  readonly from_seq: number
  readonly last_seq: number
  readonly files: number
  readonly bytes: number
}

interface Tree {
  readonly root: string
  readonly files: number
  readonly bytes: number
}

/**
 * Folds changes into trees and finishes sealed commits, strictly in the order of sealing on each branch. What a crash interrupted is
 * found again in the rows at the next start.
 */
export class Finisher {
  readonly #context: HistoryContext
  readonly #wanted = new Map<number, boolean>()
  readonly #running = new Map<number, Promise<void>>()
  readonly #retries = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(context: HistoryContext) {
    this.#context = context
  }

  async start(): Promise<void> {
    const rows = await this.#context.db.all<{ branch_id: number }>(
      "SELECT DISTINCT branch_id FROM commits INDEXED BY commits_unfinished WHERE finished_ms IS NULL AND kind <> 'derived'",
    )
    for (const { branch_id } of rows) this.wake(branch_id)
  }

  /** There may be something to finish or to fold on this branch. */
  wake(branchId: number): void {
    if (this.#closed) return
    this.#wanted.set(branchId, true)
    if (!this.#running.has(branchId)) this.#running.set(branchId, this.#work(branchId))
  }

  /** A group of changes was staged: a long batch is folded along the way. */
  written({ branch, unfolded }: GroupWritten): void {
    if (unfolded >= FOLD_ALONG_FROM) this.wake(branch)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#retries) clearTimeout(timer)
    await Promise.all(this.#running.values())
  }

  async #work(branchId: number): Promise<void> {
    try {
      while (this.#wanted.delete(branchId) && !this.#closed) {
        while (!this.#closed && (await this.#leased(branchId))) {
          // Each step finishes one commit or folds one slice.
        }
      }
    } catch (error) {
      if (!this.#closed) this.#retryLater(branchId, error)
    } finally {
      this.#running.delete(branchId)
      if (this.#wanted.has(branchId)) this.wake(branchId)
    }
  }

  #retryLater(branchId: number, error: unknown): void {
    const level = error instanceof StorageFull ? 'warn' : 'error'
    this.#context.log[level](
      { err: error, branchId },
      `finishing a commit failed, trying again: ${errorMessage(error)}`,
    )
    const timer = setTimeout(() => {
      this.#retries.delete(timer)
      this.wake(branchId)
    }, RETRY_MS)
    timer.unref()
    this.#retries.add(timer)
  }

  /** From before the roots are read that a tree is made from, until a row refers to it. */
  async #leased(branchId: number): Promise<boolean> {
    const end = this.#context.leases.begin()
    try {
      return await this.#step(branchId)
    } finally {
      end()
    }
  }

  /** Does one piece of work; false if there is none. */
  async #step(branchId: number): Promise<boolean> {
    const commit = await this.#oldestUnfinished(branchId)
    if (!commit) return false
    const { state, kind, folded_seq, last_seq } = commit
    if (state === 'open' && last_seq - folded_seq < FOLD_ALONG_FROM) return false
    if (folded_seq < last_seq) {
      const toSeq = Math.min(last_seq, folded_seq + CHANGES_PER_SLICE)
      const folded = await this.#fold(commit, toSeq)
      if (state === 'open' || toSeq < last_seq) {
        await this.#noteProgress(commit, folded, toSeq)
        return true
      }
      await this.#finish({ ...commit, ...folded })
      return true
    }
    if (state === 'open') return false
    // Pinned and finished without a change: its tree is its parent's.
    await this.#finish(
      kind === 'batch' && folded_seq === commit.from_seq ? { ...commit, ...(await this.#parentOf(commit)) } : commit,
    )
    return true
  }

  async #oldestUnfinished(branchId: number): Promise<Unfinished | undefined> {
    return this.#context.db.get<Unfinished>(
      `SELECT c.id, c.branch_id, c.ordinal, c.kind, c.state, c.root, CASE c.state WHEN 'open' THEN b.tip ELSE c.parent END AS parent, c.folded_seq, c.from_seq,
              coalesce(c.last_seq, b.last_seq) AS last_seq, c.files, c.bytes
       FROM commits AS c INDEXED BY commits_unfinished CROSS JOIN branches AS b ON b.id = c.branch_id
       WHERE c.branch_id = ? AND c.finished_ms IS NULL AND c.kind <> 'derived' ORDER BY c.ordinal LIMIT 1`,
      [branchId],
    )
  }

  async #fold(commit: Unfinished, toSeq: number): Promise<Tree> {
    const base = commit.kind === 'tree' || commit.folded_seq > commit.from_seq ? commit : await this.#parentOf(commit)
    const added = await this.#context.treeWork.fold({
      branchId: commit.branch_id,
      base: base.root as TreeHash,
      fromSeq: commit.folded_seq,
      toSeq,
    })
    return { root: added.root, files: base.files + added.files, bytes: base.bytes + added.bytes }
  }

  async #parentOf(commit: Unfinished): Promise<Tree> {
    const parent =
      commit.parent &&
      (await this.#context.db.get<Tree>('SELECT root, files, bytes FROM commits WHERE id = ?', [commit.parent]))
    return parent || { root: EMPTY_TREE, files: 0, bytes: 0 }
  }

  async #noteProgress(commit: Unfinished, folded: Tree, toSeq: number): Promise<void> {
    faultPoint('fold.slice')
    await this.#context.db.write(async (tx) => {
      const changed = await tx.run(
        // A transaction's commit moves to its branch, where its changes have other numbers.
        "UPDATE commits SET root = ?, files = ?, bytes = ?, folded_seq = ? WHERE id = ? AND branch_id = ? AND folded_seq = ? AND state IN ('open', 'sealed')",
        [folded.root, folded.files, folded.bytes, toSeq, commit.id, commit.branch_id, commit.folded_seq],
      )
      if (changed === 0) return
      await showFolded(tx, commit, folded.root, toSeq)
    })
  }

  async #finish(commit: Unfinished): Promise<void> {
    const { db, clock, signal } = this.#context
    faultPoint('commit.finish')
    await db.write(async (tx) => {
      const nowMs = clock.now()
      const changed = await tx.run(
        `UPDATE commits SET state = 'finished', root = ?, files = ?, bytes = ?, folded_seq = last_seq, finished_ms = ?
         WHERE id = ? AND branch_id = ? AND state = 'sealed'`,
        [commit.root, commit.files, commit.bytes, nowMs, commit.id, commit.branch_id],
      )
      if (changed === 0) return
      tx.afterCommit(signal.notify)
      if (await isLeftBehind(tx, commit)) return
      await noteHeadTime(tx, commit.id, nowMs)
      await tx.run('UPDATE branches SET head = ? WHERE id = ?', [commit.id, commit.branch_id])
      faultPoint('head.move')
      await showFolded(tx, commit, commit.root, commit.last_seq)
      await propagate(tx, this.#context, commit.id as CommitId)
    })
  }
}

/**
 * The view is this tree and the changes above it. Not if a restore has moved the view past these changes meanwhile, or a merge was landed
 * behind them: what the view shows has that in it.
 */
async function showFolded(tx: Transaction, commit: Unfinished, root: string, seq: number): Promise<void> {
  await tx.run(
    `UPDATE branches SET root = ?1, folded_seq = ?2 WHERE id = ?3 AND folded_seq < ?2 AND NOT EXISTS (
       SELECT 1 FROM commits AS later INDEXED BY commits_unfinished
       WHERE later.branch_id = ?3 AND later.finished_ms IS NULL AND later.kind = 'tree' AND later.ordinal > ?4)`,
    [root, seq, commit.branch_id, commit.ordinal],
  )
}

/** The branch was pointed elsewhere before the commit was finished: it can be read by its id, and is nobody's head. */
async function isLeftBehind(tx: Transaction, commit: Unfinished): Promise<boolean> {
  const moved = await tx.get('SELECT 1 FROM branch_moves WHERE branch_id = ? AND seq > ?', [
    commit.branch_id,
    commit.from_seq,
  ])
  return moved !== undefined
}
