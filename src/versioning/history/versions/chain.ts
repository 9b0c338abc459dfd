import type { Queries } from '../../../kernel/index.ts'
import { CommitNotFound, type Target, type TreeHash, type VersionId } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import type { VersionName } from '../../versions.ts'
import type { View } from '../batches/overlay.ts'
import { missing } from '../branches.ts'
import { unavailable } from '../commits.ts'
import { LINE_SEQ } from '../graph/branch-line.ts'
import { type Line, linesFrom } from '../log/lines.ts'

/** Restores and merges whose files are looked for: what older ones brought is listed while it is current. */
const MAX_TREES = 1000
/** Above every number that a change has. */
const NO_END = Number.MAX_SAFE_INTEGER

/** Changes of one branch that are versions of the target: those in (from, to]. */
export interface Segment {
  readonly branchId: number
  readonly from: number
  readonly to: number
  /** What was deleted by its id on the branch up to this number is not shown; left out: up to `to`. */
  readonly hiddenTo?: number
}

/** A commit that came onto the branch as a tree: by a restore, a merge, a move or an import. */
export interface TreeCommit {
  /** The segment that it is in, and its number there. */
  readonly segment: number
  readonly place: number
  readonly root: TreeHash
  /** What it has alike with this is not looked at. */
  readonly parentRoot: TreeHash
}

/** Where the versions of a target are found. Read at one time, it stays right: what comes later is not part of it. */
export interface VersionChain {
  /** The live view of a branch; undefined of a commit. */
  readonly view: View | undefined
  /** The tree of a commit: what is current in it. */
  readonly root: TreeHash | undefined
  /** False: S3 shows no version ids, only what is there, as `null`. */
  readonly enabled: boolean
  /** The newest first. */
  readonly segments: readonly Segment[]
  /** Those that may have brought versions which are no changes of the segments; the newest first. */
  readonly trees: readonly TreeCommit[]
  /** A tree whose files are the oldest versions, and what they are called. */
  readonly base: { readonly root: TreeHash; readonly named: 'id' | 'null' } | undefined
  /** Whether any version was deleted by its id. */
  readonly someHidden: boolean
}

interface BranchRow extends View {
  readonly versioned_from: number | null
  readonly unversioned: string | null
  /** Where the branch was last pointed elsewhere. */
  readonly line_seq: number
  readonly origin: string | null
  /** Of a transaction: the branch it is on, and the deletions there that it has seen. */
  readonly onto: number | null
  readonly hidden_to: number | null
  readonly first_kind: string | null
}

/** Throws RepoNotFound, BranchNotFound, CommitNotFound, CommitUnavailable. */
export async function readChain(queries: Queries, target: Target): Promise<VersionChain> {
  const chain = target.kind === 'branch' ? await chainOfBranch(queries, target) : await chainOfCommit(queries, target)
  const some = await queries.get<{ hidden: number; trees: number }>(
    `SELECT max(EXISTS (SELECT 1 FROM hidden_versions WHERE branch_id = s.value ->> 0)) AS hidden,
            max(EXISTS (SELECT 1 FROM commits INDEXED BY commits_as_trees WHERE branch_id = s.value ->> 0 AND kind <> 'batch')) AS trees
     FROM json_each(?) AS s`,
    [segmentsJson(chain.segments)],
  )
  const trees = chain.enabled && some?.trees ? await readTrees(queries, chain.segments) : []
  return { ...chain, trees, someHidden: some?.hidden === 1 }
}

/** But for those that brought back a state of the line itself: all of its files are versions already. */
async function readTrees(queries: Queries, segments: readonly Segment[]): Promise<readonly TreeCommit[]> {
  const rows = await queries.all<{ segment: number; place: number; root: string; parent_root: string }>(
    `SELECT s.key AS segment, c.last_seq AS place, c.root, coalesce((SELECT root FROM commits WHERE id = c.parent), ?2) AS parent_root
     FROM json_each(?1) AS s CROSS JOIN commits AS c INDEXED BY commits_as_trees ON c.branch_id = s.value ->> 0
     WHERE c.kind <> 'batch' AND c.kind = 'tree' AND c.last_seq > s.value ->> 1 AND c.last_seq <= s.value ->> 2
       AND NOT EXISTS (SELECT 1 FROM commits AS t CROSS JOIN json_each(?1) AS o ON o.value ->> 0 = t.branch_id
         WHERE t.id = c.tree_of AND t.last_seq > o.value ->> 1 AND t.last_seq <= o.value ->> 2)
     ORDER BY s.key, c.ordinal DESC LIMIT ?3`,
    [segmentsJson(segments), EMPTY_TREE, MAX_TREES],
  )
  return rows.map(({ segment, place, root, parent_root }) => ({
    segment,
    place,
    root: root as TreeHash,
    parentRoot: parent_root as TreeHash,
  }))
}

interface CommitRow {
  readonly id: string
  readonly repo: string
  readonly root: string
  readonly state: string
  readonly kind: string
  readonly failure: string | null
}

type Unchecked = Omit<VersionChain, 'someHidden' | 'trees'>

async function chainOfBranch(queries: Queries, target: Extract<Target, { kind: 'branch' }>): Promise<Unchecked> {
  const row = await queries.get<BranchRow>(
    `SELECT b.id AS branchId, b.root, b.folded_seq AS foldedSeq, b.last_seq AS lastSeq, b.versioned_from, b.unversioned,
            ${LINE_SEQ} AS line_seq, f.kind AS first_kind, b.onto, b.hidden_to,
            CASE WHEN ${LINE_SEQ} > 0 THEN (SELECT to_commit FROM branch_moves WHERE branch_id = b.id ORDER BY seq DESC LIMIT 1)
                 WHEN f.state IS NULL OR f.state = 'open' THEN b.tip ELSE f.parent END AS origin
     FROM branches AS b LEFT JOIN commits AS f ON f.branch_id = b.id AND f.ordinal = (
       SELECT min(ordinal) FROM commits WHERE branch_id = b.id)
     WHERE b.repo = ? AND b.name = ?`,
    [target.repo, target.branch],
  )
  if (!row) throw await missing(queries, target)
  const { branchId, root, foldedSeq, lastSeq } = row
  const view = { branchId, root, foldedSeq, lastSeq }
  const own = { branchId, from: Math.max(row.versioned_from ?? 0, row.line_seq), to: NO_END }
  if (row.versioned_from === null) return { view, root: undefined, enabled: false, segments: [own], base: undefined }
  const lines = row.origin === null ? [] : await linesFrom(queries, row.origin)
  if (row.unversioned !== null) {
    const base = { root: await finishedRoot(queries, row.unversioned), named: 'null' } as const
    // What was there when versioning was enabled has no ids; it may have been pointed elsewhere since.
    const since = row.versioned_from
    const rest = row.line_seq > since ? lines.filter((line) => line.branchId === branchId && line.to > since) : []
    const segments = rest.map((line) => ({ ...segmentOf(line), from: Math.max(line.from, since) }))
    return { view, root: undefined, enabled: true, segments: [own, ...segments], base }
  }
  const last = lines.at(-1) ?? { branchId, ordinal: NO_END, firstKind: row.first_kind }
  const base = await derivedBase(queries, last)
  // Deleting a version that is not current makes no commit, so the transaction's base knows nothing of it.
  const onto = row.onto === null ? [] : [{ branchId: row.onto, from: 0, to: 0, hiddenTo: row.hidden_to ?? 0 }]
  return { view, root: undefined, enabled: true, segments: [own, ...lines.map(segmentOf), ...onto], base }
}

async function chainOfCommit(queries: Queries, target: Extract<Target, { kind: 'commit' }>): Promise<Unchecked> {
  const row = await queries.get<CommitRow>(
    'SELECT id, repo, root, state, kind, failure FROM commits WHERE id = ? AND repo = ?',
    [target.commit, target.repo],
  )
  if (!row) throw new CommitNotFound(`repo ${target.repo} has no commit ${target.commit}`, { commit: target.commit })
  if (row.state !== 'finished') throw unavailable(row, 'own')
  const lines = await linesFrom(queries, target.commit)
  const base = await derivedBase(queries, lines.at(-1)!)
  return { view: undefined, root: row.root as TreeHash, enabled: true, segments: lines.map(segmentOf), base }
}

function segmentOf(line: Line): Segment {
  return { branchId: line.branchId, from: line.from, to: line.to }
}

/** A pipeline's commits have no changes: of what it left on a branch, the last tree's files are versions. */
async function derivedBase(
  queries: Queries,
  last: Pick<Line, 'branchId' | 'ordinal' | 'firstKind'>,
): Promise<VersionChain['base']> {
  if (last.firstKind !== 'derived') return undefined
  const row = await queries.get<{ root: string }>(
    `SELECT root FROM commits WHERE branch_id = ? AND ordinal <= ? AND kind = 'derived' AND state = 'finished'
     ORDER BY ordinal DESC LIMIT 1`,
    [last.branchId, last.ordinal],
  )
  return row && { root: row.root as TreeHash, named: 'id' }
}

async function finishedRoot(queries: Queries, commit: string): Promise<TreeHash> {
  const row = await queries.get<CommitRow>('SELECT id, repo, root, state, kind, failure FROM commits WHERE id = ?', [
    commit,
  ])
  if (row?.state === 'finished') return row.root as TreeHash
  if (row) throw unavailable(row, 'own')
  throw new CommitNotFound(`there is no commit ${commit}`, { commit })
}

/** For `json_each`: `[branch, from, to, deletions up to]`. */
export function segmentsJson(segments: readonly Segment[]): string {
  return JSON.stringify(segments.map(({ branchId, from, to, hiddenTo = to }) => [branchId, from, to, hiddenTo]))
}

/** The id of a change row, as SQL. */
export const ROW_COMMIT = 'coalesce(c.of_commit, c.commit_id)'
export const ROW_SEQ = 'coalesce(c.of_seq, c.seq)'

/** Whether a version was deleted from what the segments (`?` as `segmentsJson`) show; `path`, `commit` and `seq` are SQL. */
export function hiddenSql(
  segments: string,
  { path, commit, seq }: { path: string; commit: string; seq: string },
): string {
  return `EXISTS (SELECT 1 FROM json_each(${segments}) AS s CROSS JOIN hidden_versions AS h
    ON h.branch_id = s.value ->> 0 AND h.path = ${path} AND h.commit_id = ${commit} AND h.seq = ${seq} AND h.at_seq <= s.value ->> 3)`
}

/** Whether this one version was deleted. */
export async function isHidden(
  queries: Queries,
  chain: VersionChain,
  path: string,
  version: VersionId,
): Promise<boolean> {
  if (!chain.someHidden) return false
  const row = await queries.get<{ hidden: number }>(
    `SELECT ${hiddenSql('?1', { path: '?2', commit: '?3', seq: '?4' })} AS hidden`,
    [segmentsJson(chain.segments), path, version.commit, version.seq],
  )
  return row?.hidden === 1
}

export function sameVersion(one: VersionId, other: VersionId): boolean {
  return one.seq === other.seq && one.commit === other.commit
}

/** `<commit>-<seq>`, or `null`: for messages. */
export function versionNameText(version: VersionName): string {
  return version === 'null' ? version : `${version.commit}-${version.seq}`
}
