import { setTimeout as pause } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import type { CommitJson, FlushJson, FlushVerdictJson, JobJson } from '../../api/contract.ts'
import { parseRevision } from '../address.ts'
import { type ApiClient, queryString } from '../client.ts'
import { CliError } from '../errors.ts'
import { between, humanSize, parseDuration, shorten } from '../format.ts'
import { type JsonOption, note, type Session, withJson } from '../session.ts'
import { printCommits } from './commits.ts'

/** How often running jobs are looked at, to show what runs. */
const LOOK_MS = 500
/** A commit that somebody started stays open until it is finished: then it should be said what is waited for. */
const PATIENCE_MS = 3_000
/** More than this many at once would scroll past anyway. */
const MAX_LOOKED_AT = 8

export function addFlushCommand(program: Command, session: Session): void {
  withJson(program.command('flush <repo@revision...>'))
    .summary('wait for everything that follows from a commit')
    .description(
      'Wait until everything that follows from the named commits has ended, then list the commits that came from them. What a ' +
        'named branch has gathered is made a commit first. Exits with 1 if anything failed.',
    )
    .option('--timeout <duration>', 'give up after so long: 90, 30s, 10m, 2h', (value) => {
      const ms = parseDuration(value)
      if (ms === undefined) throw new InvalidArgumentError('Write a duration like 90, 30s, 10m or 2h.')
      return ms
    })
    .option('--force', 'also what `sluice commit start` or a job holds open')
    .action(async (addresses: string[], options: JsonOption & { timeout?: number; force?: boolean }) => {
      addresses.forEach(parseRevision)
      const body = {
        commits: addresses,
        ...(options.timeout !== undefined && { timeoutMs: options.timeout }),
        ...(options.force && { force: true }),
      }
      const api = await session.api()
      await runFlush(session, options, api, api.lines<FlushJson>('POST', '/v1/flush', body))
    })
}

const openHint =
  'waiting for the commit itself: `sluice commit list` says by what it is held; `sluice commit finish`, or a flush with --force, ends that'

async function runFlush(
  session: Session,
  options: JsonOption,
  api: ApiClient,
  events: AsyncIterable<FlushJson>,
): Promise<void> {
  const waiting = new Map<string, CommitJson>()
  const ended: CommitJson[] = []
  const watcher = new AbortController()
  let watched: Promise<void> | undefined
  let decided = false
  let nothing: string | undefined
  const impatience = setTimeout(() => note(session, openHint), PATIENCE_MS)
  try {
    for await (const event of events) {
      clearTimeout(impatience)
      switch (event.kind) {
        case 'waiting':
          for (const commit of event.commits) waiting.set(commit.id, commit)
          // Of a commit that stays open until the time is over nothing is known yet: the verdict tells.
          if (event.commits.length === 0) nothing = describeWait(event)
          else note(session, describeWait(event))
          if (waiting.size > 0) watched = watchJobs(session, api, waiting, watcher.signal)
          break
        case 'ended':
          waiting.delete(event.commit.id)
          ended.push(event.commit)
          note(session, describeEnd(event.commit, session.now()))
          break
        case 'verdict':
          decided = true
          session.exitCode = event.ok ? 0 : 1
          if (event.ok && nothing !== undefined) note(session, nothing)
          // Failures were shown as they ended; what never ended has to be said here.
          for (const branch of event.branches) {
            if (branch.verdict === 'timed-out') note(session, describeVerdict(branch))
          }
      }
    }
  } finally {
    clearTimeout(impatience)
    watcher.abort()
    await watched
  }
  if (!decided) throw new CliError('the server ended the flush without a verdict: ask again')
  const shown = options.json ? ended : ended.filter((commit) => commit.state === 'finished')
  if (options.json || shown.length > 0) printCommits(session, options, shown)
}

function describeWait(event: Extract<FlushJson, { kind: 'waiting' }>): string {
  const flushed = event.flushed.map((ref) => `${ref.repo}@${ref.commit}`).join(', ')
  if (event.commits.length === 0) return `nothing is computed from ${flushed}`
  return `waiting for what follows from ${flushed}: ${event.commits.map((commit) => commit.repo).join(', ')}`
}

function describeEnd(commit: CommitJson, nowMs: number): string {
  const name = `${commit.repo}@${commit.id}`
  if (commit.state === 'finished') {
    return `${name} finished: ${humanSize(commit.sizeBytes)} in ${commit.files} file(s), ${between(commit.started, commit.finished, nowMs)}`
  }
  const { kind = 'failed', reason = 'no reason is known' } = commit.failure ?? {}
  return `${name} ${kind}: ${reason}`
}

function describeVerdict(verdict: FlushVerdictJson): string {
  return `${verdict.repo}@${verdict.commit} ${verdict.verdict}${verdict.reason === undefined ? '' : `: ${verdict.reason}`}`
}

/** Says what runs: a line whenever a job's state changes, until the signal. */
async function watchJobs(
  session: Session,
  api: ApiClient,
  waiting: ReadonlyMap<string, CommitJson>,
  signal: AbortSignal,
): Promise<void> {
  const said = new Map<string, string>()
  while (!signal.aborted) {
    await pause(LOOK_MS, undefined, { signal }).catch(() => undefined)
    for (const commit of [...waiting.values()].slice(0, MAX_LOOKED_AT)) {
      if (signal.aborted) return
      const jobs = await api
        .get<JobJson[]>(`/v1/jobs${queryString({ outputCommit: commit.id, limit: 1 })}`)
        // What runs is shown for comfort; that it can't be asked for is no reason to end the flush.
        .catch((): JobJson[] => [])
      const [job] = jobs
      if (job === undefined || said.get(job.id) === job.state || !waiting.has(commit.id)) continue
      said.set(job.id, job.state)
      note(session, describeJob(job))
    }
  }
}

function describeJob(job: JobJson): string {
  const { total, processed, skipped } = job.datums
  const progress = total > 0 ? `, ${processed + skipped} of ${total} datum(s) done` : ''
  const reason = job.reason === undefined ? '' : `: ${shorten(job.reason, 120)}`
  return `${job.pipeline}: job ${job.id} ${job.state}${progress}${reason}`
}
