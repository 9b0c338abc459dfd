import type { Queries } from '../../kernel/index.ts'
import type { FlushCommit, FlushEvent, FlushVerdict } from '../flush.ts'
import {
  AmbiguousCommit,
  type BranchName,
  type CommitFailure,
  type CommitId,
  CommitNotFound,
  type CommitRef,
  type RepoName,
} from '../model/index.ts'
import { failureOf } from './commits.ts'
import type { ChangeSignal } from './events.ts'
import type { CommitRow } from './schema.ts'

/** Another process may change things without this one being told. */
const POLL_MS = 1_000
/** Commits flushed by one call. */
const MAX_FLUSHED = 100

/**
 * Waits until everything that follows from the commits has ended. The set is known once the commits themselves are finished, since
 * that transaction opens all output commits.
 */
export async function* flushCommits(
  db: Queries,
  signal: ChangeSignal,
  commits: readonly CommitRef[],
  options: { timeoutMs?: number; signal?: AbortSignal },
): AsyncGenerator<FlushEvent> {
  if (commits.length > MAX_FLUSHED) throw new AmbiguousCommit(`at most ${MAX_FLUSHED} commits can be flushed at once`)
  const deadlineMs = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs
  const over = () => performance.now() >= deadlineMs || options.signal?.aborted === true
  const subscription = signal.subscribe()
  const wait = () =>
    subscription.changed(Math.max(0, Math.min(POLL_MS, deadlineMs - performance.now())), options.signal)
  try {
    let flushed = await readAll(
      db,
      commits.map((commit) => commit.commit),
    )
    for (const { repo, commit } of commits) {
      if (!flushed.some((found) => found.commit === commit)) {
        throw new CommitNotFound(`repo ${repo} has no commit ${commit}`, { repo, commit })
      }
    }
    while (!flushed.every(isEnded) && !over()) {
      await wait()
      flushed = await readAgain(db, flushed)
    }
    let open = await readAll(db, await followers(db, commits))
    yield { kind: 'waiting', flushed: commits, commits: open }
    const ended: FlushCommit[] = flushed.filter((commit) => commit.state === 'failed')
    for (;;) {
      open = await readAgain(db, open)
      for (const commit of open.filter(isEnded)) {
        ended.push(commit)
        yield { kind: 'ended', commit }
      }
      open = open.filter((commit) => !isEnded(commit))
      if (open.length === 0 || over()) break
      await wait()
    }
    const left = [...flushed.filter((commit) => !isEnded(commit)), ...open]
    const branches = [...ended.map(verdictOf), ...left.map(timedOut)]
    yield { kind: 'verdict', ok: branches.every((branch) => branch.verdict === 'finished'), branches }
  } finally {
    subscription.end()
  }
}

/** The same commits as they are now. One that is gone with its branch or repo has ended: nobody will finish it. */
async function readAgain(db: Queries, commits: readonly FlushCommit[]): Promise<readonly FlushCommit[]> {
  if (commits.length === 0) return commits
  const found = await readAll(
    db,
    commits.map((commit) => commit.commit),
  )
  const now = new Map(found.map((commit) => [commit.commit, commit]))
  const gone: CommitFailure = { kind: 'stopped', reason: 'it was deleted' }
  return commits.map((commit) => now.get(commit.commit) ?? { ...commit, state: 'failed', failure: gone })
}

/**
 * In the order they were opened, which is topological; each once. Where the same inputs were computed again on one branch (a new spec,
 * a rerun), the newest stands for all: a failure that was mended is over. So it is for what could only not run because of another
 * failure, and followed later, on whatever its other inputs were by then.
 */
async function followers(db: Queries, commits: readonly CommitRef[]): Promise<readonly CommitId[]> {
  const rows = await db.all<{
    id: string
    wanted: string
    branch_id: number
    roots: string | null
    is_hindered: number
  }>(
    `SELECT DISTINCT c.id, c.number, c.branch_id, wanted.value AS wanted,
       coalesce(c.state = 'failed' AND json_extract(c.failure, '$.because') IS NOT NULL, 0) AS is_hindered, (
       SELECT group_concat(r.upstream_id ORDER BY r.upstream_id) FROM provenance AS r
       LEFT JOIN commits AS root ON root.id = r.upstream_id
       WHERE r.commit_id = c.id AND coalesce(root.kind, '') <> 'derived') AS roots
     FROM json_each(?) AS wanted CROSS JOIN provenance AS p ON p.upstream_id = wanted.value
     CROSS JOIN commits AS c ON c.id = p.commit_id ORDER BY c.number`,
    [JSON.stringify(commits.map((commit) => commit.commit))],
  )
  const newest = new Map(rows.map((row) => [`${row.branch_id} ${row.roots}`, row.id]))
  const last = new Map(rows.map((row) => [`${row.branch_id} ${row.wanted}`, row.id]))
  const standing = rows.filter(
    (row) =>
      newest.get(`${row.branch_id} ${row.roots}`) === row.id &&
      (row.is_hindered === 0 || last.get(`${row.branch_id} ${row.wanted}`) === row.id),
  )
  return [...new Set(standing.map((row) => row.id as CommitId))]
}

async function readAll(db: Queries, ids: readonly CommitId[]): Promise<readonly FlushCommit[]> {
  const rows = await db.all<CommitRow>(
    `SELECT c.* FROM json_each(?) AS wanted CROSS JOIN commits AS c ON c.id = wanted.value ORDER BY c.number`,
    [JSON.stringify(ids)],
  )
  return rows.map((row) => ({
    repo: row.repo as RepoName,
    branch: row.branch as BranchName,
    commit: row.id as CommitId,
    state: row.state,
    ...(row.parent ? { parent: row.parent as CommitId } : {}),
    startedMs: row.started_ms,
    ...(row.finished_ms === null ? {} : { finishedMs: row.finished_ms }),
    sizeBytes: row.bytes,
    ...(row.failure ? { failure: failureOf(row.failure) } : {}),
  }))
}

function isEnded(commit: FlushCommit): boolean {
  return commit.state === 'finished' || commit.state === 'failed'
}

function verdictOf(commit: FlushCommit): FlushVerdict {
  const at = { repo: commit.repo, branch: commit.branch, commit: commit.commit }
  if (commit.state === 'finished') return { ...at, verdict: 'finished' }
  return { ...at, verdict: commit.failure?.kind ?? 'failed', reason: commit.failure?.reason ?? 'it failed' }
}

function timedOut(commit: FlushCommit): FlushVerdict {
  const at = { repo: commit.repo, branch: commit.branch, commit: commit.commit }
  return { ...at, verdict: 'timed-out', reason: `it was still ${commit.state} when the time was over` }
}
