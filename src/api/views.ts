import type { Role, TemporaryCredentials, UserInfo } from '../kernel/index.ts'
import type { DatumInfo, JobInfo, LogLine, PipelineInfo } from '../pipelines/index.ts'
import type {
  BatchRules,
  Branch,
  Commit,
  CommitId,
  Difference,
  FileChange,
  FileEntry,
  FlushEvent,
  FlushVerdict,
  Provenance,
  RepoInfo,
  TransactionInfo,
  VersionId,
  Versioning,
} from '../versioning/index.ts'
import { isVersion } from '../versioning/index.ts'
import type {
  BranchJson,
  CommitJson,
  CredentialsJson,
  DatumJson,
  DifferenceJson,
  FileChangeJson,
  FileJson,
  FlushJson,
  FlushVerdictJson,
  JobJson,
  LogLineJson,
  PipelineJson,
  ProvenanceJson,
  RepoJson,
  TransactionJson,
  UserJson,
} from './contract.ts'
import { jobEgressJson } from './egress-views.ts'
import { isoTime, isoTimeOrNull } from './times.ts'

/** From the domain to the JSON of the contract. */

const batchRuleNames = ['idleMs', 'maxAgeMs', 'maxChanges'] as const

export function repoJson(repo: RepoInfo): RepoJson {
  return {
    name: repo.name,
    description: repo.description,
    created: isoTime(repo.createdMs),
    defaultBranch: repo.defaultBranch,
    derived: repo.derived,
    branches: repo.branches,
    sizeBytes: repo.sizeBytes,
    files: repo.files,
  }
}

export function branchJson(branch: Branch, batch: Required<BatchRules>): BranchJson {
  return {
    repo: branch.repo,
    name: branch.name,
    head: branch.head ?? null,
    openCommit: branch.openCommit ?? null,
    created: isoTime(branch.createdMs),
    bucket: branch.bucket,
    readOnly: branch.readOnly ?? null,
    protected: branch.protected,
    batch: { ...batch, own: batchRuleNames.filter((name) => branch.batchRules[name] !== undefined) },
  }
}

export function transactionJson(transaction: TransactionInfo): TransactionJson {
  const { name, repo, onto, bucket, commit, base, startedMs, changes, message } = transaction
  return { name, repo, branch: onto, bucket, commit, base: base ?? null, started: isoTime(startedMs), changes, message }
}

function commitJson(commit: Commit, provenance: readonly Provenance[]): CommitJson {
  const { failure } = commit
  return {
    id: commit.id,
    repo: commit.repo,
    branch: commit.branch,
    parents: commit.parents,
    state: commit.state,
    started: isoTime(commit.startedMs),
    finished: isoTimeOrNull(commit.finishedMs),
    sizeBytes: commit.sizeBytes,
    files: commit.files,
    message: commit.message,
    authors: commit.authors,
    provenance: provenance.map(({ repo, commit }) => ({ repo, commit })),
    ...(commit.heldBy !== undefined && { heldBy: commit.heldBy }),
    ...(failure && {
      failure: {
        kind: failure.kind,
        reason: failure.reason,
        ...(failure.because && { because: { repo: failure.because.repo, commit: failure.because.commit } }),
      },
    }),
  }
}

/** A commit with the provenance that its JSON shows. */
export async function commitWithProvenance(versioning: Versioning, commit: Commit): Promise<CommitJson> {
  return commitJson(commit, await versioning.provenance(commit.id))
}

/** The same of a page. */
export async function commitsWithProvenance(versioning: Versioning, commits: readonly Commit[]): Promise<CommitJson[]> {
  const provenances = await versioning.provenances(commits.map(({ id }) => id))
  return commits.map((commit) => commitJson(commit, provenances.get(commit.id) ?? []))
}

export function provenanceJson({ repo, branch, commit, direct }: Provenance): ProvenanceJson {
  return { repo, branch, commit, direct }
}

/** What S3 answers for an object whose type was never said. */
const UNKNOWN_TYPE = 'binary/octet-stream'

export function fileJson(entry: FileEntry): FileJson {
  return {
    path: entry.path,
    sizeBytes: entry.size,
    etag: entry.etag,
    contentType: entry.attributes.contentType ?? UNKNOWN_TYPE,
    modified: isoTime(entry.modifiedMs),
    version: versionText(entry.version),
    metadata: { ...entry.attributes.metadata },
    ...(entry.origin && { origin: { job: entry.origin.job, datum: entry.origin.datum } }),
  }
}

/** What a change is known by; a scratch file is no version, and part of no commit. */
export function changeJson(version: VersionId): { commit: string | null; version: string | null } {
  return isVersion(version)
    ? { commit: version.commit, version: versionText(version) }
    : { commit: null, version: null }
}

function versionText(version: { commit: CommitId; seq: number }): string {
  return `${version.commit}-${version.seq}`
}

export function differenceJson(difference: Difference): DifferenceJson {
  const { kind, path } = difference
  return {
    kind,
    path,
    before: kind === 'added' ? null : fileJson(difference.before),
    after: kind === 'deleted' ? null : fileJson(difference.after),
  }
}

export async function fileChangeJson(versioning: Versioning, change: FileChange): Promise<FileChangeJson> {
  const { commit, difference, ...counts } = change
  return {
    commit: await commitWithProvenance(versioning, commit),
    ...counts,
    ...(difference && { difference: differenceJson(difference) }),
  }
}

export async function flushJson(versioning: Versioning, event: FlushEvent): Promise<FlushJson> {
  const whole = async (ref: { repo: Commit['repo']; commit: CommitId }) =>
    commitWithProvenance(versioning, await versioning.getCommit(ref.repo, ref.commit))
  switch (event.kind) {
    case 'waiting': {
      const flushed = event.flushed.map(({ repo, commit }) => ({ repo, commit }))
      return { kind: 'waiting', flushed, commits: await Promise.all(event.commits.map(whole)) }
    }
    case 'ended':
      return { kind: 'ended', commit: await whole(event.commit) }
    case 'verdict':
      return { kind: 'verdict', ok: event.ok, branches: event.branches.map(verdictJson) }
  }
}

function verdictJson({ repo, branch, commit, verdict, reason }: FlushVerdict): FlushVerdictJson {
  return { repo, branch, commit, verdict, ...(reason !== undefined && { reason }) }
}

export function pipelineJson(pipeline: PipelineInfo): PipelineJson {
  return {
    name: pipeline.name,
    version: pipeline.version,
    description: pipeline.description,
    state: pipeline.state,
    created: isoTime(pipeline.createdMs),
    updated: isoTime(pipeline.updatedMs),
    input: pipeline.input,
    outputBranch: pipeline.outputBranch,
    spec: pipeline.spec,
    runner: pipeline.runner,
    ...(pipeline.egressUrl !== undefined && { egressUrl: pipeline.egressUrl }),
    ...(pipeline.lastJob && { lastJob: { id: pipeline.lastJob.id, state: pipeline.lastJob.state } }),
  }
}

export function jobJson(job: JobInfo): JobJson {
  const { total, processed, skipped, failed, recovered } = job.datums
  return {
    id: job.id,
    pipeline: job.pipeline,
    specVersion: job.specVersion,
    state: job.state,
    outputCommit: job.outputCommit,
    inputs: job.inputs.map(({ repo, commit }) => ({ repo, commit })),
    created: isoTime(job.createdMs),
    started: isoTimeOrNull(job.startedMs),
    finished: isoTimeOrNull(job.finishedMs),
    ...(job.reason !== undefined && { reason: job.reason }),
    datums: { total, processed, skipped, failed, recovered },
    restarts: job.restarts,
    ...(job.egress && { egress: jobEgressJson(job.egress) }),
  }
}

export function datumJson(datum: DatumInfo): DatumJson {
  return {
    id: datum.id,
    job: datum.job,
    state: datum.state,
    inputs: datum.inputs,
    attempts: datum.attempts,
    exitCode: datum.exitCode ?? null,
    started: isoTimeOrNull(datum.startedMs),
    finished: isoTimeOrNull(datum.finishedMs),
    bytesIn: datum.bytesIn,
    bytesOut: datum.bytesOut,
    ...(datum.reason !== undefined && { reason: datum.reason }),
    why: datum.why,
  }
}

export function logLineJson(line: LogLine): LogLineJson {
  return {
    at: isoTime(line.atMs),
    pipeline: line.pipeline,
    job: line.job,
    ...(line.datum !== undefined && { datum: line.datum }),
    stream: line.stream,
    text: line.text,
  }
}

export function userJson(user: UserInfo, roles?: ReadonlyMap<string, Role>): UserJson {
  return {
    name: user.name,
    ...(user.email !== undefined && { email: user.email }),
    canonicalId: user.canonicalId,
    admin: user.admin,
    mayCreateRepos: user.mayCreateRepos,
    root: user.root,
    created: isoTime(user.createdMs),
    keys: user.keys.map(({ accessKeyId, createdMs, expiresMs }) => ({
      accessKeyId,
      created: isoTime(createdMs),
      ...(expiresMs !== undefined && { expires: isoTime(expiresMs) }),
    })),
    ...(roles && { roles: [...roles].map(([repo, role]) => ({ repo, role })).sort(byRepo) }),
  }
}

function byRepo(a: { repo: string }, b: { repo: string }): number {
  return a.repo < b.repo ? -1 : 1
}

export function credentialsJson(credentials: TemporaryCredentials): CredentialsJson {
  const { accessKeyId, secretAccessKey, sessionToken, expiresMs } = credentials
  return { accessKeyId, secretAccessKey, sessionToken, expires: isoTime(expiresMs) }
}
