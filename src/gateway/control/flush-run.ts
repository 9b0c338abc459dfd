import type { CommitId, CommitRef, FlushCommit, FlushEvent } from '../../versioning/index.ts'
import type { Bucket } from '../s3/addressing.ts'
import type { Context } from '../s3/operation.ts'

/**
 * What a flush of this bucket is about: of a branch its newest commit, sealed first if the caller may write; of a commit itself.
 * `revision` names another commit of the repo; `force` also seals what somebody holds open. Undefined for a branch that was never written.
 */
export async function commitToFlush(
  context: Context,
  bucket: Bucket,
  revision?: string,
  force = false,
): Promise<CommitRef | undefined> {
  const { versioning } = context
  if (revision !== undefined) {
    return { repo: bucket.repo, commit: await versioning.resolveRevision(bucket.repo, revision) }
  }
  const target = await context.target(bucket)
  if (target.kind === 'commit') return { repo: target.repo, commit: target.commit }
  const at = { repo: target.repo, branch: target.branch }
  const branch = await versioning.getBranch(at)
  if (branch.readOnly === undefined && context.may('write', target.repo, { branch: bucket.name })) {
    return versioning.seal(at, { force })
  }
  const { commit } = await versioning.describe(target)
  return commit === undefined ? undefined : { repo: target.repo, commit }
}

/** One line of the stream, as JSON; times in ISO 8601. */
export function flushLine(event: FlushEvent): Record<string, unknown> {
  switch (event.kind) {
    case 'waiting':
      return { kind: 'waiting', flushed: event.flushed, commits: event.commits.map(flushCommit) }
    case 'ended':
      return { kind: 'ended', commit: flushCommit(event.commit) }
    case 'verdict':
      return { kind: 'verdict', ok: event.ok, branches: event.branches }
  }
}

function flushCommit(commit: FlushCommit): Record<string, unknown> {
  const { commit: id, repo, branch, state, parent, startedMs, finishedMs, sizeBytes, failure } = commit
  return {
    id,
    repo,
    branch,
    state,
    ...(parent === undefined ? {} : { parent }),
    started: new Date(startedMs).toISOString(),
    ...(finishedMs === undefined ? {} : { finished: new Date(finishedMs).toISOString() }),
    sizeBytes,
    ...(failure === undefined ? {} : { failure }),
  }
}

/** Nothing was ever written: nothing follows from it. */
export const nothingToFlush: readonly FlushEvent[] = [
  { kind: 'waiting', flushed: [], commits: [] },
  { kind: 'verdict', ok: true, branches: [] },
]

/** The same as one document: what was flushed, each commit as it ended, and the verdict. */
export async function flushDocument(
  events: AsyncIterable<FlushEvent> | Iterable<FlushEvent>,
): Promise<Record<string, unknown>> {
  let flushed: readonly CommitRef[] = []
  const commits = new Map<CommitId, Record<string, unknown>>()
  let ok = false
  let branches: readonly unknown[] = []
  for await (const event of events) {
    switch (event.kind) {
      case 'waiting':
        flushed = event.flushed
        for (const commit of event.commits) commits.set(commit.commit, flushCommit(commit))
        break
      case 'ended':
        commits.set(event.commit.commit, flushCommit(event.commit))
        break
      case 'verdict':
        ok = event.ok
        branches = event.branches
    }
  }
  return { ok, flushed, branches, commits: [...commits.values()] }
}
