import type { EgressAttempt, EgressInfo, EgressStatus, VerifyEvent } from '../egress/index.ts'
import type { JobInfo } from '../pipelines/index.ts'
import type { EgressAttemptJson, EgressJson, JobEgressJson, VerifyJson } from './contract.ts'
import { isoTime, isoTimeOrNull } from './times.ts'

/** The push of a job's output, as the job shows it. */
export function jobEgressJson(egress: NonNullable<JobInfo['egress']>): JobEgressJson {
  return {
    id: egress.id,
    url: egress.url,
    state: egress.state,
    filesTotal: egress.filesTotal,
    filesDone: egress.filesDone,
    filesSkipped: egress.filesSkipped,
    filesDeleted: egress.filesDeleted,
    bytesTotal: egress.bytesTotal,
    bytesDone: egress.bytesDone,
    attempts: egress.attempts,
    started: isoTimeOrNull(egress.startedMs),
    finished: isoTimeOrNull(egress.endedMs),
    ...(egress.reason !== undefined && { reason: egress.reason }),
    ...(egress.bytesPerSecond !== undefined && { bytesPerSecond: egress.bytesPerSecond }),
    ...(egress.secondsLeft !== undefined && { secondsLeft: egress.secondsLeft }),
    ...(egress.trying && { trying: tryingJson(egress.trying) }),
  }
}

function tryingJson({
  reason,
  times,
  sinceMs,
}: NonNullable<EgressStatus['trying']>): NonNullable<EgressJson['trying']> {
  return { reason, times, since: isoTime(sinceMs) }
}

/** A push as a list shows it. */
export function egressJson(egress: EgressStatus): EgressJson {
  return {
    ...jobEgressJson(egress),
    ...(egress.job !== undefined && { job: egress.job }),
    repo: egress.repo,
    commit: egress.commit,
    ...(egress.secret !== undefined && { secret: egress.secret }),
    settings: egress.settings,
    created: isoTimeOrNull(egress.createdMs),
    ...(egress.askedBy !== undefined && { askedBy: egress.askedBy }),
    ...(egress.verified && { verified: { at: isoTime(egress.verified.atMs), drift: egress.verified.drift } }),
  }
}

/** A line of a comparison of a target with the ledger: as it is. */
export function verifyJson(event: VerifyEvent): VerifyJson {
  return event
}

/** With what became of each try. */
export function egressInfoJson(egress: EgressInfo): EgressJson {
  return { ...egressJson(egress), history: egress.history.map(attemptJson) }
}

function attemptJson({ attempt, startedMs, endedMs, result, reason, files, bytes }: EgressAttempt): EgressAttemptJson {
  return {
    attempt,
    started: isoTime(startedMs),
    finished: isoTimeOrNull(endedMs),
    result,
    ...(reason !== undefined && { reason }),
    files,
    bytes,
  }
}
