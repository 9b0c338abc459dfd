import type { Queries } from '../../../kernel/index.ts'
import { type Entry, TransactionConflict, type TreeHash } from '../../model/index.ts'
import { decodeEntry, decodeLeaf, EMPTY_TREE, encodeEntry, lookupMany } from '../../tree/index.ts'
import type { HistoryContext } from '../context.ts'

/** Paths compared at once: few enough that requests are served in between. */
const PATHS_AT_ONCE = 500
/** Paths named in a refusal. */
const MAX_NAMED = 20

/** Both sides of a transaction, as far as they were looked at. */
export interface Sides {
  readonly transactionId: number
  readonly branchId: number
  readonly baseRoot: string
  /** Changes of the branch above it came after the transaction began. */
  readonly baseSeq: number
  /** The branch's newest finished commit; what came after it is in the changes above `headSeq`. */
  readonly headRoot: string
  readonly headSeq: number
}

/**
 * Refuses the transaction if a path that it changed was changed on its branch too, in whatever way that came (a restore is no change
 * of single paths, so trees are compared). Both may have ended in the same file, unless one of them was written on a condition: that
 * condition did not see the other. Throws TransactionConflict.
 */
export async function refuseConflicts(
  queries: Queries,
  { nodes }: Pick<HistoryContext, 'nodes'>,
  sides: Sides,
  toSeq: number,
): Promise<void> {
  const changed = new Set(await changedRows(queries, sides, sides.headSeq, toSeq))
  if (sides.baseRoot !== sides.headRoot) {
    for await (const paths of pathsOf(queries, sides.transactionId)) {
      for (const path of await changedInTree(nodes, sides, paths)) changed.add(path)
    }
  }
  await refuse(queries, nodes, sides, [...changed], toSeq)
}

/** The same for what the branch has gathered since: of few changes, so that it can be asked in the transaction that decides. */
export async function refuseLaterConflicts(
  queries: Queries,
  { nodes }: Pick<HistoryContext, 'nodes'>,
  sides: Sides,
  fromSeq: number,
  toSeq: number,
): Promise<void> {
  if (fromSeq < toSeq) await refuse(queries, nodes, sides, await changedRows(queries, sides, fromSeq, toSeq), toSeq)
}

/**
 * Refuses the transaction if finishing it would show a version that one side deleted by its id, since the other side shows it again: to
 * delete one that is not the latest is no change of its path. Asked in the transaction that decides.
 */
export async function refuseDeletedVersions(queries: Queries, sides: Sides): Promise<void> {
  const rows = await queries.all<{ path: string }>(
    `SELECT h.path FROM hidden_versions AS h CROSS JOIN changes AS c ON c.branch_id = ?2 AND c.seq = (
       SELECT max(seq) FROM changes WHERE branch_id = ?2 AND path = h.path AND seq > ?3)
     WHERE h.branch_id = ?1 AND c.listed = 0 AND c.of_commit = h.commit_id AND c.of_seq = h.seq
     UNION
     SELECT w.path FROM (SELECT DISTINCT path FROM hidden_versions WHERE branch_id = ?1) AS w
     CROSS JOIN changes AS c ON c.branch_id = ?1 AND c.seq = (SELECT max(seq) FROM changes WHERE branch_id = ?1 AND path = w.path)
     CROSS JOIN hidden_versions AS h ON h.branch_id = ?2 AND h.path = w.path AND h.commit_id = c.of_commit AND h.seq = c.of_seq
     WHERE c.listed = 0`,
    [sides.transactionId, sides.branchId, sides.baseSeq],
  )
  throwIfAny(
    rows.slice(0, MAX_NAMED).map(({ path }) => path),
    rows.length,
  )
}

async function changedRows(queries: Queries, sides: Sides, fromSeq: number, toSeq: number): Promise<string[]> {
  const rows = await queries.all<{ path: string }>(
    `SELECT DISTINCT c.path FROM changes AS c WHERE c.branch_id = ? AND c.seq > ? AND c.seq <= ?
       AND EXISTS (SELECT 1 FROM changes AS t INDEXED BY changes_by_path WHERE t.branch_id = ? AND t.path = c.path)`,
    [sides.branchId, fromSeq, toSeq, sides.transactionId],
  )
  return rows.map((row) => row.path)
}

/** Every path that a transaction changed, in order. */
async function* pathsOf(queries: Queries, transactionId: number): AsyncGenerator<readonly string[]> {
  let after = ''
  for (;;) {
    const rows = await queries.all<{ path: string }>(
      `SELECT DISTINCT path FROM changes INDEXED BY changes_by_path WHERE branch_id = ? AND path > ?
       ORDER BY path LIMIT ${PATHS_AT_ONCE}`,
      [transactionId, after],
    )
    const last = rows.at(-1)
    if (!last) return
    yield rows.map((row) => row.path)
    after = last.path
  }
}

async function changedInTree(
  nodes: HistoryContext['nodes'],
  sides: Sides,
  paths: readonly string[],
): Promise<readonly string[]> {
  const keys = paths.map((path) => Buffer.from(path)).sort(Buffer.compare)
  const before = await lookupMany(nodes, sides.baseRoot as TreeHash, keys)
  const after = await lookupMany(nodes, sides.headRoot as TreeHash, keys)
  return keys.flatMap((key, index) => {
    const [one, other] = [before[index], after[index]]
    const same = one === undefined || other === undefined ? one === other : one.value.equals(other.value)
    return same ? [] : [key.toString()]
  })
}

interface BothSides {
  readonly path: string
  readonly mine: Buffer | null
  readonly mine_conditional: number
  readonly their_seq: number | null
  readonly their_commit: string | null
  readonly theirs: Buffer | null
  readonly their_conditional: number | null
}

async function refuse(
  queries: Queries,
  nodes: HistoryContext['nodes'],
  sides: Sides,
  candidates: readonly string[],
  toSeq: number,
): Promise<void> {
  const named: string[] = []
  let total = 0
  for (let start = 0; start < candidates.length; start += PATHS_AT_ONCE) {
    for (const path of await conflicting(
      queries,
      nodes,
      sides,
      candidates.slice(start, start + PATHS_AT_ONCE),
      toSeq,
    )) {
      total++
      if (named.length < MAX_NAMED) named.push(path)
    }
  }
  throwIfAny(named, total)
}

function throwIfAny(named: readonly string[], total: number): void {
  if (total === 0) return
  const more = total > named.length ? ` and ${total - named.length} more` : ''
  throw new TransactionConflict(
    `the transaction and its branch both changed ${named.join(', ')}${more}; it stays open: write those files again in a new one, or abort it`,
    { paths: named, total },
  )
}

async function conflicting(
  queries: Queries,
  nodes: HistoryContext['nodes'],
  sides: Sides,
  paths: readonly string[],
  toSeq: number,
): Promise<readonly string[]> {
  const rows = await queries.all<BothSides>(
    `SELECT w.value AS path,
            (SELECT entry FROM changes WHERE branch_id = ?2 AND path = w.value ORDER BY seq DESC LIMIT 1) AS mine,
            (SELECT max(conditional) FROM changes WHERE branch_id = ?2 AND path = w.value) AS mine_conditional,
            coalesce(c.of_seq, c.seq) AS their_seq, coalesce(c.of_commit, c.commit_id) AS their_commit, c.entry AS theirs,
            (SELECT max(conditional) FROM changes WHERE branch_id = ?3 AND path = w.value AND seq > ?4) AS their_conditional
     FROM json_each(?1) AS w
     LEFT JOIN changes AS c ON c.branch_id = ?3 AND c.seq = (
       SELECT max(seq) FROM changes WHERE branch_id = ?3 AND path = w.value AND seq > ?5 AND seq <= ?6)`,
    [JSON.stringify(paths), sides.transactionId, sides.branchId, sides.baseSeq, sides.headSeq, toSeq],
  )
  const found: string[] = []
  for (const row of rows) {
    if (row.their_seq !== null && (await isAsBefore(nodes, sides, row))) continue
    const theirs = row.their_seq === null ? await inHead(nodes, sides, row.path) : row.theirs && decodeEntry(row.theirs)
    const onCondition = row.mine_conditional === 1 || row.their_conditional === 1
    if (onCondition || !isSameFile(row.mine && decodeEntry(row.mine), theirs)) found.push(row.path)
  }
  return found
}

/** Whether the branch holds again what it held when the transaction began: then it is not changed, whatever came between. */
async function isAsBefore(nodes: HistoryContext['nodes'], sides: Sides, row: BothSides): Promise<boolean> {
  const [item] = await lookupMany(nodes, sides.baseRoot as TreeHash, [Buffer.from(row.path)])
  if (!item || !row.theirs) return !item && !row.theirs
  const { version } = decodeLeaf(item.key, item.value)
  return version.commit === row.their_commit && version.seq === row.their_seq
}

async function inHead(nodes: HistoryContext['nodes'], sides: Sides, path: string): Promise<Entry | null> {
  if (sides.headRoot === EMPTY_TREE) return null
  const [item] = await lookupMany(nodes, sides.headRoot as TreeHash, [Buffer.from(path)])
  if (!item) return null
  const { path: _path, version: _version, ...entry } = decodeLeaf(item.key, item.value)
  return entry
}

/** Equal in all that a reader sees but the time. */
function isSameFile(one: Entry | null, other: Entry | null): boolean {
  if (!one || !other) return one === other
  return encodeEntry({ ...one, modifiedMs: 0 }).equals(encodeEntry({ ...other, modifiedMs: 0 }))
}
