import type { Queries } from '../../kernel/index.ts'
import type { WriteConditions } from '../changes.ts'
import {
  type BranchAddress,
  type CommitId,
  ConditionFailed,
  type Entry,
  type Path,
  type TreeHash,
  type VersionId,
} from '../model/index.ts'
import { decodeEntry, decodeLeaf, lookupMany } from '../tree/index.ts'
import type { HistoryContext } from './context.ts'

/** What conditions look at. */
export interface Current extends Pick<Entry, 'etag' | 'size' | 'modifiedMs'> {
  readonly version: VersionId
}

export function currentOf(entry: Entry, version: VersionId): Current {
  return { etag: entry.etag, size: entry.size, modifiedMs: entry.modifiedMs, version }
}

/** The error of the first condition that does not hold, or undefined. */
export function refusal(conditions: WriteConditions, current: Current | null): ConditionFailed | undefined {
  const { ifNoneMatch, ifMatch, ifMatchSize, ifMatchModifiedMs } = conditions
  if (current && (ifNoneMatch === '*' || ifNoneMatch === current.etag)) {
    return failed('If-None-Match', 'there is a file of that name already')
  }
  if (current && isOutOfTime(conditions, current)) return failed('If-Modified-Since', 'it was modified at another time')
  if (ifMatch === undefined && ifMatchSize === undefined && ifMatchModifiedMs === undefined) return undefined
  if (!current) {
    return new ConditionFailed('there is no file of that name', { condition: 'If-Match', missing: true })
  }
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== current.etag) {
    return failed('If-Match', `its ETag is "${current.etag}"`)
  }
  if (ifMatchSize !== undefined && ifMatchSize !== current.size) {
    return failed('x-amz-if-match-size', `its size is ${current.size}`)
  }
  // HTTP dates have whole seconds.
  if (ifMatchModifiedMs !== undefined && seconds(ifMatchModifiedMs) !== seconds(current.modifiedMs)) {
    return failed('x-amz-if-match-last-modified-time', 'it was modified at another time')
  }
  return undefined
}

/** The live entries of these paths, read inside the transaction that decides by them; null where there is none. */
export async function readCurrent(
  queries: Queries,
  { nodes }: Pick<HistoryContext, 'nodes'>,
  branch: { readonly id: number; readonly root: string; readonly folded_seq: number },
  paths: readonly string[],
): Promise<Map<string, Current | null>> {
  const rows = await queries.all<{ path: string; entry: Buffer | null; commit: string; seq: number }>(
    `SELECT c.path, c.entry, coalesce(c.of_commit, c.commit_id) AS "commit", coalesce(c.of_seq, c.seq) AS seq
     FROM json_each(?1) AS wanted
     CROSS JOIN changes AS c ON c.branch_id = ?2 AND c.seq = (
       SELECT max(seq) FROM changes WHERE branch_id = ?2 AND path = wanted.value AND seq > ?3)`,
    [JSON.stringify(paths), branch.id, branch.folded_seq],
  )
  const found = new Map<string, Current | null>()
  for (const row of rows) {
    const version = { commit: row.commit as CommitId, seq: row.seq }
    found.set(row.path, row.entry ? currentOf(decodeEntry(row.entry), version) : null)
  }
  const keys = paths
    .filter((path) => !found.has(path))
    .map((path) => Buffer.from(path))
    .sort(Buffer.compare)
  const items = await lookupMany(nodes, branch.root as TreeHash, keys)
  for (const [index, key] of keys.entries()) {
    const item = items[index]
    const entry = item && decodeLeaf(item.key, item.value)
    found.set(key.toString(), entry ? currentOf(entry, entry.version) : null)
  }
  return found
}

/** Reads the leaves around many paths before the transaction that asks for them: everybody who writes would wait for that. */
export async function warmCurrent(
  { db, nodes }: Pick<HistoryContext, 'db' | 'nodes'>,
  at: BranchAddress,
  changes: readonly { readonly path: Path }[],
): Promise<void> {
  const branch = await db.get<{ root: TreeHash }>('SELECT root FROM branches WHERE repo = ? AND name = ?', [
    at.repo,
    at.branch,
  ])
  const keys = changes.map(({ path }) => Buffer.from(path)).sort(Buffer.compare)
  if (branch) await lookupMany(nodes, branch.root, keys)
}

function failed(condition: string, why: string): ConditionFailed {
  return new ConditionFailed(`the condition ${condition} does not hold: ${why}`, { condition })
}

function isOutOfTime({ ifModifiedSinceMs, ifUnmodifiedSinceMs }: WriteConditions, { modifiedMs }: Current): boolean {
  if (ifModifiedSinceMs !== undefined && seconds(modifiedMs) <= seconds(ifModifiedSinceMs)) return true
  return ifUnmodifiedSinceMs !== undefined && seconds(modifiedMs) > seconds(ifUnmodifiedSinceMs)
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}
