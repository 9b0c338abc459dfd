import type { Queries } from '../../../kernel/index.ts'
import { Breath } from '../../breath.ts'
import type { FileChange, FileLogOf } from '../../looking-back.ts'
import { type CommitId, CommitNotFound, type RepoName, type TreeHash } from '../../model/index.ts'
import { differenceOf, diffTrees, EMPTY_TREE, lookup, rangeOf, type TreeDifference } from '../../tree/index.ts'
import type { Difference } from '../../trees.ts'
import { getCommit } from '../commits.ts'
import type { HistoryContext } from '../context.ts'
import type { Views } from '../views.ts'
import { type Line, linesFrom } from './lines.ts'

/** Commits that are read at once. */
const COMMITS_AT_ONCE = 200

interface LogParts {
  readonly context: HistoryContext
  readonly views: Views
}

/** A commit that may have changed what is asked about. */
interface Candidate {
  readonly id: string
  readonly ordinal: number
  readonly root: string
  readonly parent: string | null
  /** Null where the parent is gone, or there is none. */
  readonly parent_root: string | null
}

const CANDIDATE = `c.id, c.ordinal, c.root, c.parent, (SELECT root FROM commits WHERE id = c.parent) AS parent_root`

/** What `LookingBack.fileLog` promises. */
export async function* fileLog(
  { context, views }: LogParts,
  repo: RepoName,
  from: CommitId,
  of: FileLogOf,
  query: { limit?: number; before?: CommitId } = {},
): AsyncGenerator<FileChange> {
  const limit = query.limit ?? Number.POSITIVE_INFINITY
  const { db } = context
  await views.rootOf({ kind: 'commit', repo, commit: from })
  const start = query.before === undefined ? from : await parentIn(db, repo, from, query.before)
  const breath = new Breath()
  let shown = 0
  for (const line of start === null ? [] : await linesFrom(db, start)) {
    const candidates = 'path' in of ? ofPath(db, line, of.path) : ofAll(db, line)
    for await (const candidate of candidates) {
      if (shown >= limit) return
      await breath.taken()
      // What it was made from was removed: that is where its history begins.
      if (candidate.parent !== null && candidate.parent_root === null) return
      const change = await compare(context, candidate, of)
      if (!change) continue
      shown++
      yield { commit: await getCommit(db, repo, candidate.id as CommitId), ...change }
    }
  }
}

/** Of a commit of the history of `from`: who may read one history may not go on in another by it. */
async function parentIn(queries: Queries, repo: RepoName, from: CommitId, id: CommitId): Promise<string | null> {
  const row = await queries.get<{ parent: string | null; branch_id: number; ordinal: number; from_seq: number }>(
    'SELECT parent, branch_id, ordinal, from_seq FROM commits WHERE id = ? AND repo = ?',
    [id, repo],
  )
  const isOf = (line: Line) =>
    row !== undefined && line.branchId === row.branch_id && row.ordinal <= line.ordinal && row.from_seq >= line.from
  if (row && (await linesFrom(queries, from)).some(isOf)) return row.parent
  throw new CommitNotFound(`the history of ${from} has no commit ${id} (any more): begin the log anew`, {
    repo,
    commit: id,
  })
}

type Change = Omit<FileChange, 'commit'>

async function compare(context: HistoryContext, candidate: Candidate, of: FileLogOf): Promise<Change | undefined> {
  const before = (candidate.parent_root ?? EMPTY_TREE) as TreeHash
  const after = candidate.root as TreeHash
  if (before === after) return undefined
  const lease = context.leases.hold(before, after)
  try {
    return await changeBetween(context, before, after, of)
  } finally {
    lease.end()
  }
}

async function changeBetween(
  context: HistoryContext,
  before: TreeHash,
  after: TreeHash,
  of: FileLogOf,
): Promise<Change | undefined> {
  if ('path' in of) {
    const difference = await differenceAt(context, before, after, Buffer.from(of.path))
    return difference && { ...counted([difference]), difference }
  }
  const sum = counted([])
  const breath = new Breath()
  for await (const found of diffTrees(context.nodes, before, after, rangeOf(of))) {
    await breath.taken()
    const difference = differenceOf(found)
    if (difference) count(sum, difference)
  }
  return sum.added + sum.deleted + sum.changed === 0 ? undefined : sum
}

async function differenceAt(
  { nodes }: HistoryContext,
  before: TreeHash,
  after: TreeHash,
  key: Buffer,
): Promise<Difference | undefined> {
  const [left, right] = [await lookup(nodes, before, key), await lookup(nodes, after, key)]
  if (!left && !right) return undefined
  const found: TreeDifference = { key, ...(left && { before: left }), ...(right && { after: right }) }
  return left && right && left.value.equals(right.value) ? undefined : differenceOf(found)
}

type Counted = { -readonly [Name in 'added' | 'deleted' | 'changed' | 'growthBytes']: number }

function counted(differences: readonly Difference[]): Counted {
  const sum = { added: 0, deleted: 0, changed: 0, growthBytes: 0 }
  for (const difference of differences) count(sum, difference)
  return sum
}

function count(sum: Counted, difference: Difference): void {
  sum[difference.kind]++
  if (difference.kind !== 'deleted') sum.growthBytes += difference.after.size
  if (difference.kind !== 'added') sum.growthBytes -= difference.before.size
}

/** Every commit of the line, the newest first. */
async function* ofAll(queries: Queries, line: Line): AsyncGenerator<Candidate> {
  for (let below = line.ordinal + 1; ; ) {
    const page = await queries.all<Candidate>(
      `SELECT ${CANDIDATE} FROM commits AS c WHERE c.branch_id = ? AND c.ordinal < ? AND c.from_seq >= ? AND c.state = 'finished'
       ORDER BY c.ordinal DESC LIMIT ?`,
      [line.branchId, below, line.from, COMMITS_AT_ONCE],
    )
    yield* page
    if (page.length < COMMITS_AT_ONCE) return
    below = page.at(-1)!.ordinal
  }
}

/**
 * Those whose list of changes has the path, found by the index of changes, and those that are no list of changes (restores, merges, what
 * pipelines made), each of which is asked.
 */
async function* ofPath(queries: Queries, line: Line, path: string): AsyncGenerator<Candidate> {
  const written = writers(queries, line, path)
  const given = trees(queries, line)
  let [one, other] = [await written.next(), await given.next()]
  while (!one.done || !other.done) {
    const takeWritten = !one.done && (other.done || one.value.ordinal >= other.value.ordinal)
    if (takeWritten && !one.done) {
      yield one.value
      one = await written.next()
    } else if (!other.done) {
      yield other.value
      other = await given.next()
    }
  }
}

async function* writers(queries: Queries, line: Line, path: string): AsyncGenerator<Candidate> {
  for (let below = line.to + 1; ; ) {
    // The next commit below, by the path's newest change before those of the last one.
    const row = await queries.get<Candidate & { from_seq: number }>(
      `SELECT ${CANDIDATE}, c.from_seq FROM commits AS c WHERE c.id = (
         SELECT h.commit_id FROM changes AS h INDEXED BY changes_by_path
         WHERE h.branch_id = ? AND h.path = ? AND h.seq < ? AND h.seq > ? ORDER BY h.seq DESC LIMIT 1)`,
      [line.branchId, path, below, line.from],
    )
    if (!row) return
    yield row
    below = row.from_seq + 1
  }
}

async function* trees(queries: Queries, line: Line): AsyncGenerator<Candidate> {
  for (let below = line.ordinal + 1; ; ) {
    const page = await queries.all<Candidate>(
      `SELECT ${CANDIDATE} FROM commits AS c INDEXED BY commits_as_trees
       WHERE c.branch_id = ? AND c.ordinal < ? AND c.kind <> 'batch' AND c.from_seq >= ? AND c.state = 'finished'
       ORDER BY c.ordinal DESC LIMIT ?`,
      [line.branchId, below, line.from, COMMITS_AT_ONCE],
    )
    yield* page
    if (page.length < COMMITS_AT_ONCE) return
    below = page.at(-1)!.ordinal
  }
}
