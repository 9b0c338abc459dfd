import { Breath } from '../../breath.ts'
import type { DiffQuery, DiffSide } from '../../looking-back.ts'
import {
  type BranchAddress,
  type CommitId,
  type RepoName,
  TransactionNotFound,
  type TreeHash,
} from '../../model/index.ts'
import {
  type DiffRange,
  differenceOf,
  diffTrees,
  EMPTY_TREE,
  lookup,
  rangeOf,
  type TreeDifference,
} from '../../tree/index.ts'
import type { Difference } from '../../trees.ts'
import { type StagedRow, stagedChange } from '../batches/overlay.ts'
import type { HistoryContext } from '../context.ts'
import { findCommit } from '../resolve.ts'
import { transactionNotFound } from '../transactions/rows.ts'
import type { Views } from '../views.ts'

/** Paths of a transaction that are read at once. */
const PATHS_AT_ONCE = 500

/** A tree, and what a transaction has changed above it. */
interface OpenSide {
  readonly root: TreeHash
  readonly staged?: {
    readonly branchId: number
    readonly from: number
    readonly to: number
    readonly at: BranchAddress
  }
}

interface DiffParts {
  readonly context: HistoryContext
  readonly views: Views
}

/** What `Versioning.diff` promises. */
export async function* diffSides(
  parts: DiffParts,
  before: DiffSide,
  after: DiffSide,
  query: DiffQuery = {},
): AsyncGenerator<Difference> {
  const limit = query.limit ?? Number.POSITIVE_INFINITY
  if (limit <= 0) return
  const sides = [await openSide(parts, before), await openSide(parts, after)] as const
  const lease = parts.context.leases.hold(sides[0].root, sides[1].root)
  const breath = new Breath()
  let shown = 0
  try {
    for await (const found of differences(parts.context, sides, rangeOf(query))) {
      await breath.taken()
      const difference = differenceOf(found)
      if (!difference) continue
      yield difference
      if (++shown >= limit) return
    }
  } finally {
    lease.end()
  }
}

/** What a commit, or an open transaction, is compared with where nothing else is said: its parent, or what it was opened on. */
export async function baseOfSide({ context }: DiffParts, side: DiffSide): Promise<DiffSide> {
  if (side === 'empty') return 'empty'
  const row =
    typeof side === 'string'
      ? await context.db.get<{ base: string | null }>('SELECT parent AS base FROM commits WHERE id = ?', [side])
      : await context.db.get<{ base: string | null }>(
          "SELECT base_commit AS base FROM branches WHERE repo = ? AND name = ? AND kind = 'transaction'",
          [side.transaction.repo, side.transaction.branch],
        )
  return (row?.base as CommitId | null | undefined) ?? 'empty'
}

async function openSide({ context, views }: DiffParts, side: DiffSide): Promise<OpenSide> {
  if (side === 'empty') return { root: EMPTY_TREE }
  if (typeof side === 'string') {
    const { repo, commit } = await findCommit(context.db, side)
    return { root: await views.rootOf({ kind: 'commit', repo: repo as RepoName, commit }) }
  }
  const at = side.transaction
  const row = await context.db.get<{ id: number; root: string; folded_seq: number; last_seq: number }>(
    "SELECT id, root, folded_seq, last_seq FROM branches WHERE repo = ? AND name = ? AND kind = 'transaction'",
    [at.repo, at.branch],
  )
  if (!row) throw transactionNotFound(at)
  const staged = { branchId: row.id, from: row.folded_seq, to: row.last_seq, at }
  return { root: row.root as TreeHash, staged }
}

/** Of the trees, and of every path that a transaction has changed; in order, each path once. */
async function* differences(
  { db, nodes }: HistoryContext,
  sides: readonly [OpenSide, OpenSide],
  range: DiffRange,
): AsyncGenerator<TreeDifference> {
  const [before, after] = sides
  const trees = diffTrees(nodes, before.root, after.root, range)
  if (!before.staged && !after.staged) return yield* trees
  const sources = [
    new Ahead(trees),
    new Ahead(stagedPaths(db, before, range)),
    new Ahead(stagedPaths(db, after, range)),
  ] as const
  for (;;) {
    const heads = await Promise.all(sources.map((source) => source.head()))
    const keys = heads.flatMap((head) => (head ? [head.key] : []))
    const key = keys.reduce<Buffer | undefined>(
      (least, one) => (least && least.compare(one) <= 0 ? least : one),
      undefined,
    )
    if (!key) return
    const tree = (await sources[0].takeAt(key)) ?? undefined
    const mine = await sources[1].takeAt(key)
    const theirs = await sources[2].takeAt(key)
    const left = mine ? mine.item : tree ? tree.before : await lookup(nodes, before.root, key)
    const right = theirs ? theirs.item : tree ? tree.after : await lookup(nodes, after.root, key)
    if (!left && !right) continue
    yield { key, ...(left && { before: left }), ...(right && { after: right }) }
  }
}

/** The newest change of each path that a transaction has staged, in order of the paths. Throws TransactionNotFound if it ends meanwhile. */
async function* stagedPaths(db: HistoryContext['db'], { staged }: OpenSide, { prefix, from }: DiffRange) {
  if (!staged || staged.from === staged.to) return
  const { branchId, at } = staged
  let start = from && prefix && from.compare(prefix) > 0 ? from : (prefix ?? Buffer.alloc(0))
  for (;;) {
    const rows = await db.all<StagedRow>(
      `SELECT w.path, c.seq, c.commit_id, c.entry, c.of_commit, c.of_seq FROM (
         SELECT path, max(seq) AS seq FROM changes INDEXED BY changes_by_path
         WHERE branch_id = ?1 AND path >= CAST(?2 AS TEXT) AND seq > ?3 AND seq <= ?4 GROUP BY path ORDER BY path LIMIT ?5
       ) AS w CROSS JOIN changes AS c ON c.branch_id = ?1 AND c.seq = w.seq ORDER BY w.path`,
      [branchId, start, staged.from, staged.to, PATHS_AT_ONCE],
    )
    // When it ends its rows go, bit by bit: what was read is whole only if it was there still.
    if (!(await db.get('SELECT 1 FROM branches WHERE id = ?', [branchId]))) throw gone(at)
    for (const row of rows) {
      const key = Buffer.from(row.path)
      if (prefix && !key.subarray(0, prefix.length).equals(prefix)) return
      yield stagedChange(key, row)
    }
    const last = rows.at(-1)
    if (!last || rows.length < PATHS_AT_ONCE) return
    start = Buffer.from(`${last.path}\0`)
  }
}

function gone(at: BranchAddress): TransactionNotFound {
  return new TransactionNotFound(
    `the transaction ${at.branch}.${at.repo} was finished or aborted while it was looked at`,
    {
      repo: at.repo,
      transaction: at.branch,
    },
  )
}

/** A sorted source with its next item in view. */
class Ahead<Item extends { readonly key: Buffer }> {
  readonly #source: AsyncIterator<Item>
  #next: Promise<IteratorResult<Item>> | undefined

  constructor(source: AsyncIterable<Item>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  async head(): Promise<Item | undefined> {
    this.#next ??= this.#source.next()
    const step = await this.#next
    return step.done ? undefined : step.value
  }

  async takeAt(key: Buffer): Promise<Item | undefined> {
    const head = await this.head()
    if (!head?.key.equals(key)) return undefined
    this.#next = undefined
    return head
  }
}
