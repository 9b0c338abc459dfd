import type { Queries } from '../../kernel/index.ts'
import type { CommitId } from '../model/index.ts'
import { decodeEntry, encodeLeaf, type OverlayCursor, type TreeChange } from '../tree/index.ts'

/** Branches whose staging area is kept sorted in memory. */
const MAX_BRANCHES = 64

/** The live view of a branch, read in one statement: the tree plus the changes above `foldedSeq`. */
export interface View {
  readonly branchId: number
  readonly root: string
  readonly foldedSeq: number
  readonly lastSeq: number
}

interface StagedRow {
  readonly seq: number
  readonly commit_id: string
  readonly path: string
  readonly entry: Buffer | null
  readonly of_commit: string | null
  readonly of_seq: number | null
}

/** The newest staged change of each path in (foldedSeq, lastSeq], sorted by path. Never written to once made. */
interface Overlay {
  readonly foldedSeq: number
  readonly lastSeq: number
  readonly keys: readonly Buffer[]
  readonly rows: readonly StagedRow[]
}

/**
 * Staging areas as sorted arrays, extended by what is new since the last listing instead of read again. A view is served exactly; one
 * that is older than what is kept is `stale`, and the caller reads its view again.
 */
export class Overlays {
  readonly #kept = new Map<number, Overlay>()

  async open(queries: Queries, view: View): Promise<{ kind: 'ready'; cursor: OverlayCursor } | { kind: 'stale' }> {
    if (view.foldedSeq === view.lastSeq) {
      this.#kept.delete(view.branchId)
      return { kind: 'ready', cursor: new StagedCursor({ ...view, keys: [], rows: [] }) }
    }
    const kept = this.#kept.get(view.branchId)
    if (kept && (kept.foldedSeq > view.foldedSeq || kept.lastSeq > view.lastSeq)) return { kind: 'stale' }
    const from = kept ? Math.max(kept.lastSeq, view.foldedSeq) : view.foldedSeq
    const fresh =
      from === view.lastSeq
        ? []
        : await queries.all<StagedRow>(
            'SELECT seq, commit_id, path, entry, of_commit, of_seq FROM changes WHERE branch_id = ? AND seq > ? AND seq <= ? ORDER BY seq',
            [view.branchId, from, view.lastSeq],
          )
    const overlay = extend(kept, fresh, view)
    const now = this.#kept.get(view.branchId)
    if (!now || now.lastSeq <= overlay.lastSeq) this.#keep(view.branchId, overlay)
    return { kind: 'ready', cursor: new StagedCursor(overlay) }
  }

  #keep(branchId: number, overlay: Overlay): void {
    this.#kept.delete(branchId)
    if (this.#kept.size >= MAX_BRANCHES) this.#kept.delete(this.#kept.keys().next().value!)
    this.#kept.set(branchId, overlay)
  }
}

function extend(kept: Overlay | undefined, fresh: readonly StagedRow[], view: View): Overlay {
  const newest = new Map<string, StagedRow>()
  for (const row of fresh) newest.set(row.path, row)
  const added = [...newest.values()]
    .map((row) => ({ key: Buffer.from(row.path), row }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  const keys: Buffer[] = []
  const rows: StagedRow[] = []
  let next = 0
  const take = (key: Buffer, row: StagedRow) => {
    keys.push(key)
    rows.push(row)
  }
  for (const [index, row] of (kept?.rows ?? []).entries()) {
    const key = kept!.keys[index]!
    while (next < added.length && Buffer.compare(added[next]!.key, key) < 0) {
      take(added[next]!.key, added[next]!.row)
      next++
    }
    if (row.seq > view.foldedSeq && !newest.has(row.path)) take(key, row)
  }
  for (; next < added.length; next++) take(added[next]!.key, added[next]!.row)
  return { foldedSeq: view.foldedSeq, lastSeq: view.lastSeq, keys, rows }
}

class StagedCursor implements OverlayCursor {
  readonly #overlay: Overlay
  #at = 0

  constructor(overlay: Overlay) {
    this.#overlay = overlay
  }

  async seek(key: Buffer): Promise<void> {
    const { keys } = this.#overlay
    let low = 0
    let high = keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (Buffer.compare(keys[middle]!, key) < 0) low = middle + 1
      else high = middle
    }
    this.#at = low
  }

  async next(): Promise<TreeChange | undefined> {
    return this.nextNow()
  }

  nextNow(): TreeChange | undefined {
    const { keys, rows } = this.#overlay
    const key = keys[this.#at]
    const row = rows[this.#at]
    if (!key || !row) return undefined
    this.#at++
    return stagedChange(key, row)
  }
}

/** A change row as the tree takes it. */
export function stagedChange(key: Buffer, row: Omit<StagedRow, 'path'>): TreeChange {
  if (!row.entry) return { key, item: null }
  const { size } = decodeEntry(row.entry)
  const commit = (row.of_commit ?? row.commit_id) as CommitId
  const value = encodeLeaf({ commit, seq: row.of_seq ?? row.seq }, row.entry)
  return { key, item: { key, size, value } }
}
