import {
  type Commit,
  type CommitId,
  type Difference,
  type FileEntry,
  isTransactionName,
  isVersion,
  type Provenance,
  type TargetInfo,
} from '../../versioning/index.ts'
import type { Bucket } from '../s3/addressing.ts'
import { readKey } from '../s3/addressing.ts'
import { S3Error } from '../s3/codes.ts'
import { versionText } from '../s3/entry-headers.ts'
import type { Context } from '../s3/operation.ts'
import { commitToFlush, flushDocument, nothingToFlush } from './flush-run.ts'
import { veilDocument } from './veil.ts'

/** A log and a diff are for looking at; whole ones come from the API. */
const MAX_LOG_COMMITS = 1000
const MAX_DIFFERENCES = 10_000

/** A document of the control folder: what it says, and the commit it is about (if there is one yet). */
export interface ControlDocument {
  readonly json: unknown
  readonly info: TargetInfo
}

/** Makes the document of this name (without `.sluice/`). Throws S3Error NoSuchKey for any other name. */
export async function makeControlDocument(context: Context, bucket: Bucket, name: string): Promise<ControlDocument> {
  const target = await context.target(bucket)
  if (name === 'flush.json') {
    const json = await flushVerdict(context, bucket)
    return { json, info: await context.describe(target) }
  }
  const info = await context.describe(target)
  switch (name) {
    case 'commit.json':
      return { json: await describeCommit(context, info), info }
    case 'log.json':
      return { json: await log(context, info), info }
    case 'provenance.json':
      return { json: await commitProvenance(context, info), info }
    case 'diff.json':
      return { json: await diffToParent(context, info), info }
  }
  if (name.startsWith('provenance/') && name.length > 'provenance/'.length) {
    const entry = await context.versioning.stat(target, readKey(name.slice('provenance/'.length)))
    return { json: await fileProvenance(context, entry, info), info }
  }
  throw new S3Error(
    'NoSuchKey',
    'The control folder holds commit.json, log.json, provenance.json, provenance/<path>, diff.json and flush.json',
    { Key: `.sluice/${name}` },
  )
}

async function flushVerdict(context: Context, bucket: Bucket): Promise<unknown> {
  const commit = await commitToFlush(context, bucket)
  if (!commit) return flushDocument(nothingToFlush)
  // Not under this client's signal: another one may wait for the same document.
  const text = await context.flushRecords.get(commit.commit, async () =>
    JSON.stringify(await flushDocument(context.versioning.flush([commit], { signal: context.stopSignal }))),
  )
  return veilDocument(JSON.parse(text) as Parameters<typeof veilDocument>[0], context)
}

async function describeCommit(context: Context, info: TargetInfo): Promise<unknown> {
  const commit = await context.versioning.getCommit(info.repo, knownCommit(info))
  return { ...commitJson(commit), provenance: await provenanceOf(context, commit.id) }
}

async function log(context: Context, info: TargetInfo): Promise<unknown> {
  const { repo, branch, commit, target } = info
  const limit = MAX_LOG_COMMITS
  // Of a commit's bucket: the log as it was then.
  const of = target.kind === 'branch' ? { branch } : { from: commit ?? knownCommit(info) }
  return (await context.versioning.listCommits(repo, { ...of, limit })).map(commitJson)
}

async function commitProvenance(context: Context, info: TargetInfo): Promise<unknown> {
  const commit = knownCommit(info)
  return {
    repo: info.repo,
    branch: info.branch,
    commit,
    provenance: await provenanceOf(context, commit),
    subvenance: (await context.versioning.subvenance(commit)).map(provenanceJson),
  }
}

async function fileProvenance(context: Context, entry: FileEntry, info: TargetInfo): Promise<unknown> {
  const { origin } = entry
  return {
    repo: info.repo,
    branch: info.branch,
    commit: info.commit,
    path: entry.path,
    version: isVersion(entry.version) ? versionText(entry.version) : null,
    etag: entry.etag,
    sizeBytes: entry.size,
    ...(info.pipeline === undefined ? {} : { pipeline: info.pipeline }),
    ...(origin
      ? { job: origin.job, datum: origin.datum, inputs: await context.datumInputs(origin.job, origin.datum) }
      : {}),
    provenance: info.provenance.map(provenanceJson),
  }
}

async function diffToParent(context: Context, info: TargetInfo): Promise<unknown> {
  const { lookingBack } = context.versioning
  const { repo, branch } = info
  const isTransaction = info.target.kind === 'branch' && isTransactionName(branch)
  const after = isTransaction ? { transaction: { repo, branch } } : (await finishedCommit(context, info)).id
  const before = await lookingBack.baseOf(after)
  const found: unknown[] = []
  for await (const difference of context.versioning.diff(before, after, { limit: MAX_DIFFERENCES + 1 })) {
    found.push(differenceJson(difference))
  }
  return {
    repo,
    before: before === 'empty' ? null : before,
    after: isTransaction ? info.commit : after,
    differences: found.slice(0, MAX_DIFFERENCES),
    truncated: found.length > MAX_DIFFERENCES,
  }
}

/** A diff is between finished commits: of a branch it is that of its head. */
async function finishedCommit(context: Context, info: TargetInfo): Promise<Commit> {
  const { versioning } = context
  if (info.target.kind === 'commit') return versioning.getCommit(info.repo, info.target.commit)
  const { head } = await versioning.getBranch({ repo: info.repo, branch: info.branch })
  if (head === undefined) throw noCommit(info)
  return versioning.getCommit(info.repo, head)
}

function knownCommit(info: TargetInfo): CommitId {
  if (info.commit === undefined) throw noCommit(info)
  return info.commit
}

function noCommit(info: TargetInfo): S3Error {
  return new S3Error('NoSuchKey', `${info.repo}@${info.branch} has no commit yet: nothing was written to it`)
}

async function provenanceOf(context: Context, commit: CommitId): Promise<unknown[]> {
  return (await context.versioning.provenance(commit)).map(provenanceJson)
}

function provenanceJson({ repo, branch, commit, direct }: Provenance): Record<string, unknown> {
  return { repo, branch, commit, direct }
}

function commitJson(commit: Commit): Record<string, unknown> {
  const { id, repo, branch, parents, state, startedMs, finishedMs, sizeBytes, files, message, authors, failure } =
    commit
  return {
    id,
    repo,
    branch,
    parents,
    state,
    started: new Date(startedMs).toISOString(),
    ...(finishedMs === undefined ? {} : { finished: new Date(finishedMs).toISOString() }),
    sizeBytes,
    files,
    message,
    authors,
    ...(commit.heldBy === undefined ? {} : { heldBy: commit.heldBy }),
    ...(failure ? { failure } : {}),
  }
}

function differenceJson(difference: Difference): Record<string, unknown> {
  const { kind, path } = difference
  const side = (entry: FileEntry) => ({ sizeBytes: entry.size, etag: entry.etag, version: versionText(entry.version) })
  switch (kind) {
    case 'added':
      return { kind, path, after: side(difference.after) }
    case 'deleted':
      return { kind, path, before: side(difference.before) }
    case 'changed':
      return { kind, path, before: side(difference.before), after: side(difference.after) }
  }
}
