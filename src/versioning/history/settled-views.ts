import type { Database } from '../../kernel/index.ts'
import type { Target, TargetInfo, TreeHash } from '../model/index.ts'

/** Branches that are read at a time, in one process; each takes some hundred bytes. */
const MAX_BRANCHES = 1_000

/** A branch without staged changes: its tree is all there is to it. */
export interface SettledView {
  readonly root: TreeHash
  readonly info: TargetInfo
}

type BranchTarget = Extract<Target, { kind: 'branch' }>

/**
 * What was read of branches whose changes are all folded, for as long as nothing at all was committed to the database: reading such a
 * branch then needs no statement. The first commit, whatever it is about, forgets them all.
 */
export class SettledViews {
  readonly #db: Pick<Database, 'unchangedSince'>
  readonly #views = new Map<string, SettledView>()
  #since: number | undefined

  constructor(db: Pick<Database, 'unchangedSince'>) {
    this.#db = db
  }

  get(target: BranchTarget): SettledView | undefined {
    const now = this.#db.unchangedSince
    if (now === undefined || now !== this.#since) return undefined
    return this.#views.get(keyOf(target))
  }

  /** To be handed to `keep` with what is read after it. */
  begin(): number | undefined {
    return this.#db.unchangedSince
  }

  /** Not if anything was committed since `begin`. */
  keep(begun: number | undefined, target: BranchTarget, view: SettledView): void {
    const now = this.#db.unchangedSince
    if (begun === undefined || begun !== now) return
    if (now !== this.#since || this.#views.size >= MAX_BRANCHES) this.#views.clear()
    this.#since = now
    this.#views.set(keyOf(target), view)
  }
}

function keyOf({ repo, branch }: BranchTarget): string {
  return `${branch}.${repo}`
}
