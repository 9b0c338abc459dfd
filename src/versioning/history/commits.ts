import type { Queries } from '../../kernel/index.ts'
import {
  type BranchName,
  type Commit,
  type CommitFailure,
  type CommitId,
  CommitNotFound,
  CommitUnavailable,
  type Provenance,
  type RepoName,
  type TreeHash,
} from '../model/index.ts'
import type { CommitRow, Tables } from './schema.ts'

/** The commit with its authors. Throws CommitNotFound. */
export async function getCommit(queries: Queries, repo: RepoName, id: CommitId): Promise<Commit> {
  const row = await queries
    .kysely<Tables>()
    .selectFrom('commits')
    .selectAll()
    .where('id', '=', id)
    .where('repo', '=', repo)
    .executeTakeFirst()
  if (!row) throw new CommitNotFound(`repo ${repo} has no commit ${id}`, { repo, commit: id })
  const [commit] = await withAuthors(queries, [row])
  return commit!
}

/** Rows as commits. */
export async function withAuthors(queries: Queries, rows: readonly CommitRow[]): Promise<readonly Commit[]> {
  const authors = await queries.all<{ commit_id: string; name: string }>(
    `SELECT a.commit_id, a.name FROM json_each(?) AS wanted
     CROSS JOIN commit_authors AS a ON a.commit_id = wanted.value ORDER BY a.name`,
    [JSON.stringify(rows.map((row) => row.id))],
  )
  const names = Map.groupBy(authors, (author) => author.commit_id)
  return rows.map((row) => commitOf(row, names.get(row.id)?.map((author) => author.name) ?? []))
}

function commitOf(row: CommitRow, authors: readonly string[]): Commit {
  return {
    id: row.id as CommitId,
    repo: row.repo as RepoName,
    branch: row.branch as BranchName,
    state: row.state,
    parents: [row.parent, row.merge_parent].filter((parent) => parent !== null) as CommitId[],
    ordinal: row.ordinal,
    root: row.root as TreeHash,
    startedMs: row.started_ms,
    ...(row.finished_ms === null ? {} : { finishedMs: row.finished_ms }),
    files: row.files,
    sizeBytes: row.bytes,
    message: row.message,
    authors,
    pinned: row.pinned === 1,
    derived: row.pipeline !== null,
    ...(row.failure ? { failure: failureOf(row.failure) } : {}),
  }
}

export function failureOf(json: string): CommitFailure {
  return JSON.parse(json) as CommitFailure
}

/** Why a commit can't be read. `via` says how it was addressed: by its own id, or by another repo's commit. */
export function unavailable(
  row: { id: string; repo: string; state: string; failure: string | null; kind: string },
  via: 'own' | 'propagation',
): CommitUnavailable {
  const data = { commit: row.id, repo: row.repo, state: row.state, via, derived: row.kind === 'derived' }
  if (row.state === 'failed') {
    const reason = row.failure ? failureOf(row.failure).reason : 'it failed'
    return new CommitUnavailable(`commit ${row.id} of ${row.repo} failed: ${reason}`, { ...data, reason })
  }
  return new CommitUnavailable(
    `commit ${row.id} of ${row.repo} is ${row.state}: it can be read when it is finished; flush waits for that`,
    data,
  )
}

/** What the commit was computed from, direct ones first. */
export async function provenanceOf(queries: Queries, commit: CommitId): Promise<readonly Provenance[]> {
  return (await provenanceOfAll(queries, [commit])).get(commit) ?? []
}

/** The same of many commits at once; none of those that were computed from nothing. */
export async function provenanceOfAll(
  queries: Queries,
  commits: readonly CommitId[],
): Promise<ReadonlyMap<CommitId, readonly Provenance[]>> {
  const rows = await queries.all<ProvenanceRow & { of: CommitId }>(
    `SELECT p.commit_id AS "of", p.upstream_repo AS repo, p.upstream_branch AS branch, p.upstream_id AS "commit", p.direct
     FROM json_each(?) AS wanted CROSS JOIN provenance AS p ON p.commit_id = wanted.value
     LEFT JOIN commits AS c ON c.id = p.upstream_id ORDER BY p.direct DESC, c.number`,
    [JSON.stringify(commits)],
  )
  const groups = new Map<CommitId, Provenance[]>()
  for (const row of rows) {
    const group = groups.get(row.of)
    if (group) group.push(provenanceRow(row))
    else groups.set(row.of, [provenanceRow(row)])
  }
  return groups
}

/** Everything computed from the commit; creation order is topological. */
export function subvenanceOf(queries: Queries, commit: CommitId): Promise<Provenance[]> {
  return queries
    .all<ProvenanceRow>(
      `SELECT c.repo, c.branch, c.id AS "commit", p.direct FROM provenance AS p
       CROSS JOIN commits AS c ON c.id = p.commit_id WHERE p.upstream_id = ? ORDER BY c.number`,
      [commit],
    )
    .then((rows) => rows.map(provenanceRow))
}

interface ProvenanceRow {
  readonly repo: string
  readonly branch: string
  readonly commit: string
  readonly direct: number
}

function provenanceRow(row: ProvenanceRow): Provenance {
  return {
    repo: row.repo as RepoName,
    branch: row.branch as BranchName,
    commit: row.commit as CommitId,
    direct: row.direct === 1,
  }
}
