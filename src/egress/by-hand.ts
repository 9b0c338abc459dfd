import { hintOf, parseTargetUrl, type SecretStore } from '../cloud/index.ts'
import { type Database, DomainError, InvalidInput, type Queries, randomHexId } from '../kernel/index.ts'
import {
  CommitNotFound,
  CommitUnavailable,
  type RepoName,
  type TreeHash,
  type Versioning,
} from '../versioning/index.ts'
import type { CheckedEgress } from './check.ts'
import { EgressRefused } from './errors.ts'
import { MAX_WAITING_BY_HAND } from './limits.ts'
import { placeOf } from './place.ts'
import { type AskedBy, insertPush, type PushRow, requeuePush, settingsOf } from './pushes.ts'
import type { EgressStatus } from './queries.ts'

/** A push that somebody asks for, without a pipeline. */
export interface RunRequest {
  readonly repo: RepoName
  /** A branch (its head), a commit, or either with `^`. */
  readonly revision: string
  /** What a spec's `egress` would say. */
  readonly egress: unknown
  readonly askedBy: AskedBy
}

export interface ByHandParts {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'resolveRevision' | 'getCommit' | 'provenance'>
  readonly check: (egress: unknown) => Promise<CheckedEgress>
  readonly placeFor: PlaceFor
}

/** The place that a push is for, where it can be told before it begins. */
export type PlaceFor = (url: string, secret: string | undefined) => Promise<string | undefined>

export function placeFinder(secrets: Pick<SecretStore, 'inspect'>): PlaceFor {
  return async (url, secret) => {
    try {
      return placeOf(parseTargetUrl(url, secret === undefined ? undefined : hintOf(await secrets.inspect(secret))))
    } catch (error) {
      // A secret that is gone, a URL that means nothing any more: the push itself fails with the reason.
      if (error instanceof DomainError) return undefined
      throw error
    }
  }
}

/** Queues it. Returns its id and what the check has to say. */
export async function runByHand(
  { db, versioning, check, placeFor }: ByHandParts,
  { repo, revision, egress, askedBy }: RunRequest,
): Promise<{ id: string; notes: readonly string[] }> {
  const { url, secret, settings, notes } = await check(egress)
  const commit = await versioning.getCommit(repo, await versioning.resolveRevision(repo, revision))
  if (commit.state !== 'finished') {
    const reason =
      commit.failure === undefined ? 'flush waits until it is finished' : `it failed: ${commit.failure.reason}`
    throw new CommitUnavailable(
      `commit ${commit.id} of ${repo} is ${commit.state}, and only a finished one can be pushed; ${reason}`,
      {
        commit: commit.id,
        repo,
        state: commit.state,
      },
    )
  }
  const provenance = (await versioning.provenance(commit.id)).filter(({ direct }) => direct)
  const place = await placeFor(url, secret)
  const id = randomHexId()
  await db.write(async (tx) => {
    const waiting = await tx.get<{ n: number }>(
      "SELECT count(*) AS n FROM egress_push WHERE state IN ('waiting', 'running') AND job IS NULL",
    )
    if (waiting && waiting.n >= MAX_WAITING_BY_HAND) {
      throw new EgressRefused(
        `${MAX_WAITING_BY_HAND} egresses that were asked for by hand have not ended: wait for them, or cancel some (sluice egress list --state waiting)`,
      )
    }
    if (!saysLayout(egress)) await refuseOtherLayout(tx, repo, url)
    const root = await rootNow(tx, repo, commit.id)
    const request = {
      id,
      pipeline: repo,
      repo,
      commit: commit.id,
      root,
      url,
      ...(secret === undefined ? {} : { secret }),
      settings,
      provenance: provenance.map((upstream) => ({ repo: upstream.repo, commit: upstream.commit })),
    }
    await insertPush(tx, request, { place, askedBy })
  })
  return { id, notes }
}

/** It may have been removed since it was looked at, or purged of a path: what no row refers to any more must not be referred to again. */
async function rootNow(tx: Queries, repo: string, commit: string): Promise<TreeHash> {
  const row = await tx.get<{ root: TreeHash }>('SELECT root FROM commits WHERE id = ? AND repo = ?', [commit, repo])
  if (!row)
    throw new CommitNotFound(`commit ${commit} of ${repo} is not kept any more: push a newer one`, { repo, commit })
  return row.root
}

function saysLayout(egress: unknown): boolean {
  return typeof egress === 'object' && egress !== null && 'layout' in egress
}

/**
 * A push with the layout `plain` takes all commits' folders away, with what reads them: not by an option that was left out. Goes by the
 * newest push there that has not failed, so that one under way counts, too.
 */
async function refuseOtherLayout(queries: Queries, repo: RepoName, url: string): Promise<void> {
  const last = await queries.get<Pick<PushRow, 'id' | 'settings'>>(
    "SELECT id, settings FROM egress_push WHERE pipeline = ? AND url = ? AND state <> 'failed' ORDER BY seq DESC LIMIT 1",
    [repo, url],
  )
  if (!last || settingsOf(last).layout === 'plain') return
  throw new InvalidInput(
    `egress.layout is missing, and at ${url} each commit has a folder of its own (egress ${last.id}): name --layout commit to add this commit's folder, or --layout plain to replace all that is there`,
    { field: 'egress.layout', egress: last.id },
  )
}

/**
 * Lets a push that failed wait for its turn again; what the ledger has is not sent again. Not one that would turn the target back to
 * before what was pushed there since. Throws EgressRefused, CommitNotFound, RepoNotFound.
 */
export async function retryByHand(
  { db, versioning, placeFor }: Omit<ByHandParts, 'check'>,
  status: EgressStatus,
): Promise<void> {
  const { id, repo, commit, url, secret } = status
  // Said before anything is looked up for it; decided below.
  await versioning.getCommit(repo, commit as Parameters<Versioning['getCommit']>[1])
  const place = await placeFor(url, secret)
  await db.write(async (tx) => {
    const newer = await tx.get<{ id: string; commit_id: string }>(
      `SELECT newer.id, newer.commit_id FROM egress_push AS push
       JOIN egress_push AS newer ON newer.repo = push.repo AND newer.seq > push.seq
       WHERE push.id = ? AND newer.url = push.url AND newer.secret IS push.secret AND newer.state <> 'failed' LIMIT 1`,
      [id],
    )
    if (newer) {
      throw new EgressRefused(
        `egress ${id} is not retried: ${repo}@${newer.commit_id} has been pushed to ${url} since (egress ${newer.id}); to go back to this commit: sluice egress run ${repo}@${commit} ${url}${secret === undefined ? '' : ` --secret ${secret}`}, with the options that it had`,
        { egress: id, newer: newer.id },
      )
    }
    await rootNow(tx, repo, commit)
    if (!(await requeuePush(tx, id, place))) throw notFailed(id)
  })
}

export function notFailed(id: string): EgressRefused {
  return new EgressRefused(`egress ${id} has not failed: there is nothing to retry`, { egress: id })
}
