import type { Queries } from '../../../kernel/index.ts'
import type { CommitId } from '../../model/index.ts'
import { decodeEntry, encodeLeaf, type OverlayCursor, type TreeChange } from '../../tree/index.ts'
import { extendRuns, type Runs, RunsCursor, type StagedRow } from './overlay-runs.ts'

export type { StagedRow }

/** Branches whose staging area is kept sorted in memory. */
const MAX_BRANCHES = 64
/** Changes of all of them together, of some 600 bytes each; one branch alone may have more, which is folded along the way. */
const MAX_KEPT_CHANGES = 100_000

/** The live view of a branch, read in one statement: the tree plus the changes above `foldedSeq`. */
export interface View {
  readonly branchId: number
  readonly root: string
  readonly foldedSeq: number
  readonly lastSeq: number
}

/** The newest staged change of each path in (foldedSeq, lastSeq]. Never written to once made. */
interface Overlay {
  readonly foldedSeq: number
  readonly lastSeq: number
  readonly runs: Runs
}

/**
 * Staging areas, sorted, extended by what is new since the last listing instead of read again. A view is served exactly; one
 * that is older than what is kept is `stale`, and the caller reads its view again.
 */
export class Overlays {
  /** Those that were listed last come last. */
  readonly #kept = new Map<number, Overlay>()

  /** Changes kept at the moment. */
  get size(): number {
    let size = 0
    for (const { runs } of this.#kept.values()) size += changesIn(runs)
    return size
  }

  async open(queries: Queries, view: View): Promise<{ kind: 'ready'; cursor: OverlayCursor } | { kind: 'stale' }> {
    if (view.foldedSeq === view.lastSeq) {
      this.#kept.delete(view.branchId)
      return { kind: 'ready', cursor: new RunsCursor([], stagedChange) }
    }
    const known = this.#kept.get(view.branchId)
    // A merge that was landed shows changes again that were folded before: a newer view, whose changes begin earlier.
    const beginsAnew = known && known.foldedSeq > view.foldedSeq && known.lastSeq < view.lastSeq
    const kept = beginsAnew ? undefined : known
    if (kept && (kept.foldedSeq > view.foldedSeq || kept.lastSeq > view.lastSeq)) return { kind: 'stale' }
    const from = kept ? Math.max(kept.lastSeq, view.foldedSeq) : view.foldedSeq
    const fresh =
      from === view.lastSeq
        ? []
        : await queries.all<StagedRow>(
            'SELECT seq, commit_id, path, entry, of_commit, of_seq FROM changes WHERE branch_id = ? AND seq > ? AND seq <= ? ORDER BY seq',
            [view.branchId, from, view.lastSeq],
          )
    const { foldedSeq, lastSeq } = view
    const runs = extendRuns(kept?.runs ?? [], fresh, foldedSeq, kept?.foldedSeq ?? foldedSeq)
    const overlay = { foldedSeq, lastSeq, runs }
    const now = this.#kept.get(view.branchId)
    if (!now || now.lastSeq <= overlay.lastSeq) this.#keep(view.branchId, overlay)
    return { kind: 'ready', cursor: new RunsCursor(overlay.runs, stagedChange) }
  }

  #keep(branchId: number, overlay: Overlay): void {
    this.#kept.delete(branchId)
    if (this.#kept.size >= MAX_BRANCHES) this.#kept.delete(this.#kept.keys().next().value!)
    this.#kept.set(branchId, overlay)
    let size = this.#kept.size > 1 ? this.size : 0
    for (const [oldest, { runs }] of this.#kept) {
      if (size <= MAX_KEPT_CHANGES || oldest === branchId) break
      this.#kept.delete(oldest)
      size -= changesIn(runs)
    }
  }
}

const changesIn = (runs: Runs): number => runs.reduce((sum, { keys }) => sum + keys.length, 0)

/** A change row as the tree takes it. */
export function stagedChange(key: Buffer, row: Omit<StagedRow, 'path'>): TreeChange {
  if (!row.entry) return { key, item: null }
  const { size } = decodeEntry(row.entry)
  const commit = (row.of_commit ?? row.commit_id) as CommitId
  const value = encodeLeaf({ commit, seq: row.of_seq ?? row.seq }, row.entry)
  return { key, item: { key, size, value } }
}
