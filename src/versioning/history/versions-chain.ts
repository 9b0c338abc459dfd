import type { Queries } from '../../kernel/index.ts'
import { CommitNotFound, type Target, type TreeHash, type VersionId } from '../model/index.ts'
import type { VersionName } from '../versions.ts'
import { missing } from './branches.ts'
import { unavailable } from './commits.ts'
import type { View } from './overlay.ts'

/** Branches of branches of branches: what is older than so many of them is not listed. */
const MAX_BRANCHES = 1000
/** Above every number that a change has. */
const NO_END = Number.MAX_SAFE_INTEGER

/** Changes of one branch that are versions of the target: those in (from, to]. */
export interface Segment {
  readonly branchId: number
  readonly from: number
  readonly to: number
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
  /** A tree whose files are the oldest versions, and what they are called. */
  readonly base: { readonly root: TreeHash; readonly named: 'id' | 'null' } | undefined
  /** Whether any version was deleted by its id. */
  readonly someHidden: boolean
}

interface BranchRow extends View {
  readonly versioned_from: number | null
  readonly unversioned: string | null
  readonly origin: string | null
  readonly first_kind: string | null
}

interface LinkRow {
  readonly branch_id: number
  readonly up_to: number
  readonly ordinal: number
  readonly first_kind: string | null
}

const ORIGIN_OF_LINK = `(SELECT parent FROM commits WHERE branch_id = o.branch_id ORDER BY ordinal LIMIT 1)`

/** Throws RepoNotFound, BranchNotFound, CommitNotFound, CommitUnavailable. */
export async function readChain(queries: Queries, target: Target): Promise<VersionChain> {
  const chain = target.kind === 'branch' ? await chainOfBranch(queries, target) : await chainOfCommit(queries, target)
  const someHidden = await queries.get(
    `SELECT 1 FROM json_each(?) AS s WHERE EXISTS (SELECT 1 FROM hidden_versions WHERE branch_id = s.value ->> 0)`,
    [segmentsJson(chain.segments)],
  )
  return { ...chain, someHidden: someHidden !== undefined }
}

interface CommitRow {
  readonly id: string
  readonly repo: string
  readonly root: string
  readonly state: string
  readonly kind: string
  readonly failure: string | null
}

type Unchecked = Omit<VersionChain, 'someHidden'>

async function chainOfBranch(queries: Queries, target: Extract<Target, { kind: 'branch' }>): Promise<Unchecked> {
  const row = await queries.get<BranchRow>(
    `SELECT b.id AS branchId, b.root, b.folded_seq AS foldedSeq, b.last_seq AS lastSeq, b.versioned_from, b.unversioned,
            CASE WHEN f.state IS NULL OR f.state = 'open' THEN b.tip ELSE f.parent END AS origin, f.kind AS first_kind
     FROM branches AS b LEFT JOIN commits AS f ON f.branch_id = b.id AND f.ordinal = (
       SELECT min(ordinal) FROM commits WHERE branch_id = b.id)
     WHERE b.repo = ? AND b.name = ?`,
    [target.repo, target.branch],
  )
  if (!row) throw await missing(queries, target)
  const { branchId, root, foldedSeq, lastSeq } = row
  const view = { branchId, root, foldedSeq, lastSeq }
  const own = { branchId, from: row.versioned_from ?? 0, to: NO_END }
  if (row.versioned_from === null) return { view, root: undefined, enabled: false, segments: [own], base: undefined }
  if (row.unversioned !== null) {
    const base = { root: await finishedRoot(queries, row.unversioned), named: 'null' } as const
    return { view, root: undefined, enabled: true, segments: [own], base }
  }
  const links = row.origin === null ? [] : await linksFrom(queries, row.origin)
  const last = links.at(-1) ?? { branch_id: branchId, ordinal: NO_END, first_kind: row.first_kind }
  const base = await derivedBase(queries, last)
  return { view, root: undefined, enabled: true, segments: [own, ...links.map(segmentOf)], base }
}

async function chainOfCommit(queries: Queries, target: Extract<Target, { kind: 'commit' }>): Promise<Unchecked> {
  const row = await queries.get<CommitRow>(
    'SELECT id, repo, root, state, kind, failure FROM commits WHERE id = ? AND repo = ?',
    [target.commit, target.repo],
  )
  if (!row) throw new CommitNotFound(`repo ${target.repo} has no commit ${target.commit}`, { commit: target.commit })
  if (row.state !== 'finished') throw unavailable(row, 'own')
  const links = await linksFrom(queries, target.commit)
  const base = await derivedBase(queries, links.at(-1)!)
  return { view: undefined, root: row.root as TreeHash, enabled: true, segments: links.map(segmentOf), base }
}

/** The branches behind a commit, each up to where the next one was made from it. */
function linksFrom(queries: Queries, commit: string): Promise<LinkRow[]> {
  return queries.all<LinkRow>(
    `WITH RECURSIVE links (depth, branch_id, up_to, ordinal, origin) AS (
       SELECT 1, o.branch_id, o.last_seq, o.ordinal, ${ORIGIN_OF_LINK} FROM commits AS o WHERE o.id = ?
       UNION ALL
       SELECT links.depth + 1, o.branch_id, o.last_seq, o.ordinal, ${ORIGIN_OF_LINK}
       FROM links CROSS JOIN commits AS o ON o.id = links.origin WHERE links.depth < ?
     )
     SELECT branch_id, up_to, ordinal,
            (SELECT kind FROM commits WHERE branch_id = links.branch_id ORDER BY ordinal LIMIT 1) AS first_kind
     FROM links ORDER BY depth`,
    [commit, MAX_BRANCHES],
  )
}

function segmentOf(link: LinkRow): Segment {
  return { branchId: link.branch_id, from: 0, to: link.up_to }
}

/** A pipeline's commits have no changes: of what it left on a branch, the last tree's files are versions. */
async function derivedBase(
  queries: Queries,
  last: Pick<LinkRow, 'branch_id' | 'ordinal' | 'first_kind'>,
): Promise<VersionChain['base']> {
  if (last.first_kind !== 'derived') return undefined
  const row = await queries.get<{ root: string }>(
    `SELECT root FROM commits WHERE branch_id = ? AND ordinal <= ? AND kind = 'derived' AND state = 'finished'
     ORDER BY ordinal DESC LIMIT 1`,
    [last.branch_id, last.ordinal],
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

/** For `json_each`: `[branch, from, to]`. */
export function segmentsJson(segments: readonly Segment[]): string {
  return JSON.stringify(segments.map(({ branchId, from, to }) => [branchId, from, to]))
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
    ON h.branch_id = s.value ->> 0 AND h.path = ${path} AND h.commit_id = ${commit} AND h.seq = ${seq} AND h.at_seq <= s.value ->> 2)`
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
