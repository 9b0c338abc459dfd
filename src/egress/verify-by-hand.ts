import { StoreError } from '../cloud/index.ts'
import { type Clock, type Database, type Queries, randomHexId, type Transaction } from '../kernel/index.ts'
import type { CommitRef, TreeHash, Versioning } from '../versioning/index.ts'
import { GaveUp, type Patience } from './again.ts'
import type { PlaceFor } from './by-hand.ts'
import { EgressRefused, TargetFailed } from './errors.ts'
import { Ledger } from './ledger.ts'
import { LEDGER_BATCH } from './limits.ts'
import { type AskedBy, insertPush } from './pushes.ts'
import type { EgressStatus } from './queries.ts'
import type { OpenTarget } from './targets.ts'
import { keepResult, type VerifyEvent, type VerifyResult, verifyTarget } from './verify.ts'

/** How a target is compared with the ledger. */
export interface VerifyOptions {
  /** Reads every object back, and compares its bytes. */
  readonly deep?: boolean
  /** What has drifted is sent again, by a push that this person asks for. */
  readonly repair?: AskedBy
  readonly signal: AbortSignal
}

export interface VerifyByHandParts extends Omit<Patience, 'signal'> {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly openTarget: OpenTarget
  readonly placeFor: PlaceFor
  readonly clock: Clock
  /** A push waits for its turn. */
  readonly onQueued: () => void
}

/** Throws InvalidInput, SecretNotFound, EgressRefused, TargetFailed. */
export async function* verifyByHand(
  parts: VerifyByHandParts,
  status: EgressStatus,
  { deep = false, repair, signal }: VerifyOptions,
): AsyncGenerator<VerifyEvent> {
  const { db, versioning, openTarget, retry, random, clock } = parts
  if (repair) await refuseRepair(db, status)
  const before = await pushesTo(db, status)
  if (before.running !== null) {
    throw new EgressRefused(`egress ${before.running} is changing ${status.url}: compare when it has ended`, {
      egress: before.running,
    })
  }
  const { store, target } = await openTarget(status.url, status.secret)
  try {
    const ledger = await Ledger.open(db, target, status.repo)
    let doubted: string[] = []
    const doubt = async () => {
      const paths = doubted
      doubted = []
      if (paths.length === 0) return
      await db.write(async (tx) => {
        // A push that has begun since has made its plan, and would end with the target in step in spite of this.
        if ((await pushesTo(tx, status)).attempts !== before.attempts) throw changedMeanwhile(status)
        await ledger.doubt(tx, paths)
      })
    }
    for await (const event of verifyTarget({ store, ledger, versioning, deep, retry, random, signal })) {
      if (event.kind !== 'verified') {
        if (repair && event.kind === 'drift') doubted.push(event.path)
        if (doubted.length >= LEDGER_BATCH) await doubt()
        yield event
        continue
      }
      await doubt()
      if ((await pushesTo(db, status)).attempts !== before.attempts) throw changedMeanwhile(status)
      await db.write((tx) => keepResult(tx, { id: status.id, nowMs: clock.now() }, event))
      const isRight = event.missing + event.changed === 0
      yield repair && !isRight ? { ...event, repair: await sendAgain(parts, status, repair) } : event
    }
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof GaveUp)) throw error
    throw new TargetFailed(`${status.url} could not be compared: ${error.message}`, { egress: status.id }, error)
  } finally {
    await store.close()
  }
}

/** What is being pushed there now, and how often something was. */
async function pushesTo(
  db: Queries,
  { repo, url }: EgressStatus,
): Promise<{ running: string | null; attempts: number }> {
  const row = await db.get<{ running: string | null; attempts: number }>(
    `SELECT max(CASE state WHEN 'running' THEN id END) AS running, coalesce(sum(attempt), 0) AS attempts
     FROM egress_push WHERE repo = ? AND url = ?`,
    [repo, url],
  )
  return row ?? { running: null, attempts: 0 }
}

function changedMeanwhile({ url }: EgressStatus): EgressRefused {
  return new EgressRefused(`${url} was pushed to while it was compared: compare it again`)
}

/** Whether what was pushed by this one is what should be there now. */
async function refuseRepair(db: Database, { id, state, url, repo }: EgressStatus): Promise<void> {
  const newer = await db.get<{ id: string }>(
    `SELECT newer.id FROM egress_push AS push
     JOIN egress_push AS newer ON newer.repo = push.repo AND newer.seq > push.seq AND newer.url = push.url
     WHERE push.id = ? AND newer.secret IS push.secret LIMIT 1`,
    [id],
  )
  if (newer) {
    throw new EgressRefused(
      `${repo} was pushed to ${url} again since: sluice egress verify ${newer.id} --repair (or the newest that sluice egress list shows)`,
      { egress: id, newer: newer.id },
    )
  }
  if (state === 'success') return
  throw new EgressRefused(
    state === 'failed'
      ? `egress ${id} has failed: sluice egress retry ${id} sends what is missing`
      : `egress ${id} has not ended: wait for it`,
    { egress: id, state },
  )
}

/** What a commit held that is not kept any more may be gone. */
async function refuseCollected(tx: Pick<Transaction, 'get'>, id: string, commit: string): Promise<void> {
  if (await tx.get('SELECT 1 FROM commits WHERE id = ?', [commit])) return
  throw new EgressRefused(`commit ${commit}, which egress ${id} pushed, is not kept any more: push a newer one`, {
    egress: id,
    commit,
  })
}

/** The same push once more, by hand: with what is doubted now, and nothing else. */
async function sendAgain(
  { db, placeFor, onQueued }: VerifyByHandParts,
  status: EgressStatus,
  askedBy: AskedBy,
): Promise<VerifyResult['repair'] & string> {
  const id = randomHexId()
  const place = await placeFor(status.url, status.secret)
  await db.write(async (tx) => {
    const kept = await tx.get<{ root: string; provenance: string }>(
      'SELECT root, provenance FROM egress_push WHERE id = ?',
      [status.id],
    )
    if (!kept) throw new EgressRefused(`egress ${status.id} is gone`, { egress: status.id })
    const { repo, commit, url, secret, settings } = status
    await refuseCollected(tx, status.id, commit)
    const request = {
      ...{ id, pipeline: repo, repo, commit, url, settings },
      root: kept.root as TreeHash,
      ...(secret === undefined ? {} : { secret }),
      provenance: JSON.parse(kept.provenance) as CommitRef[],
    }
    await insertPush(tx, request, { place, askedBy })
  })
  onQueued()
  return id
}
