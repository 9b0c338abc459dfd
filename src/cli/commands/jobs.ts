import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { DatumJson, JobJson, LogLineJson } from '../../api/contract.ts'
import { apiPath, queryString } from '../client.ts'
import { describeProgress, describeTrying } from '../egress-progress.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, between, details, humanSize, shorten } from '../format.ts'
import { type JsonOption, print, printJson, printList, type Session, withJson } from '../session.ts'
import { parseCount } from './commits.ts'

const DEFAULT_JOBS = 100
const DATUM_PAGE = 1000
const WAIT_MS = 500

const endStates: ReadonlySet<JobJson['state']> = new Set(['success', 'failure', 'killed', 'unrunnable'])

export function addJobCommands(program: Command, session: Session): void {
  const job = program.command('job').description('jobs: runs of a pipeline')
  withJson(job.command('list').description('list jobs, newest first'))
    .option('--pipeline <name>', 'only of this pipeline')
    .option('-n, --number <count>', `at most so many (${DEFAULT_JOBS} if left out, 1000 at most)`, parseCount)
    .action(async (options: JsonOption & { pipeline?: string; number?: number }) => {
      const query = queryString({ pipeline: options.pipeline, limit: options.number ?? DEFAULT_JOBS })
      const jobs = await (await session.api()).get<JobJson[]>(`/v1/jobs${query}`)
      const now = session.now()
      printList(session, options, jobs, [
        ['ID', (item) => item.id],
        ['PIPELINE', (item) => item.pipeline],
        ['STARTED', (item) => ago(item.started ?? item.created, now)],
        ['DURATION', (item) => between(item.started, item.finished, now)],
        ['RESTART', (item) => String(item.restarts)],
        ['PROGRESS', progressOf],
        ['STATE', (item) => (item.reason === undefined ? item.state : `${item.state}: ${shorten(item.reason, 80)}`)],
      ])
    })
  withJson(job.command('inspect <job>').description('show a job; exits with 1 if it did not succeed'))
    .option('--wait', 'wait until it has ended')
    .action(async (id: string, options: JsonOption & { wait?: boolean }) => {
      const found = await readJob(session, id, options.wait ?? false)
      if (endStates.has(found.state) && found.state !== 'success') session.exitCode = 1
      if (options.json) return printJson(session, found)
      print(session, details(describeJob(found, session.now())))
    })
  job
    .command('kill <job>')
    .description('kill a job; its output commit fails')
    .action(async (id: string) => {
      await (await session.api()).act(apiPath`/v1/jobs/${id}/kill`)
    })
}

export function addDatumCommands(program: Command, session: Session): void {
  const datum = program.command('datum').description('datums: the units of work of a job')
  withJson(datum.command('list <job>').description('list the datums of a job')).action(
    async (job: string, options: JsonOption) => {
      const datums = await readDatums(session, job)
      const now = session.now()
      printList(session, options, datums, [
        ['ID', (item) => item.id],
        ['STATUS', (item) => item.state],
        ['TIME', (item) => between(item.started, item.finished, now)],
        ['INPUT', (item) => shorten(item.inputs.join(', '), 80)],
        ['WHY', (item) => shorten(item.reason ?? item.why, 80)],
      ])
    },
  )
  withJson(datum.command('inspect <job> <datum>').description('show a datum')).action(
    async (job: string, id: string, options: JsonOption) => {
      const found = await (await session.api()).get<DatumJson>(apiPath`/v1/jobs/${job}/datums/${id}`)
      if (options.json) return printJson(session, found)
      print(session, details(describeDatum(found, session.now())))
    },
  )
}

interface LogOptions extends JsonOption {
  readonly pipeline?: string
  readonly job?: string
  readonly datum?: string
  readonly contains?: string
  readonly follow?: boolean
}

export function addLogsCommand(program: Command, session: Session): void {
  withJson(program.command('logs').description('show what user code wrote, oldest first'))
    .option('--pipeline <name>', 'of this pipeline')
    .option('--job <id>', 'of this job')
    .option('--datum <id>', 'of this datum (needs --job)')
    .option('--contains <text>', 'only lines with this text in them')
    .option('-f, --follow', 'go on with new lines')
    .action(async ({ json, ...query }: LogOptions) => {
      if (query.pipeline === undefined && query.job === undefined) {
        throw new UsageError('say of what: --pipeline NAME or --job ID')
      }
      const lines = (await session.api()).lines<LogLineJson>('GET', `/v1/logs${queryString({ ...query })}`)
      if (!json) {
        for await (const line of lines) print(session, `${logPrefix(line)} ${line.text}\n`)
      } else if (query.follow) {
        // An array that never ends can't be read: with --follow it is an object per line.
        for await (const line of lines) print(session, `${JSON.stringify(line)}\n`)
      } else {
        const all: LogLineJson[] = []
        for await (const line of lines) all.push(line)
        printJson(session, all)
      }
    })
}

/** The job, the datum and, where it is not standard output, the stream. */
function logPrefix(line: LogLineJson): string {
  const place = [line.job, line.datum].filter((id) => id !== undefined).map((id) => id.slice(0, 8))
  return `[${place.join(' ')}]${line.stream === 'stdout' ? '' : ` ${line.stream}:`}`
}

/** `wait`: as it ends. */
export async function readJob(session: Session, id: string, wait: boolean): Promise<JobJson> {
  const api = await session.api()
  for (;;) {
    const job = await api.get<JobJson>(apiPath`/v1/jobs/${id}`)
    if (!wait || endStates.has(job.state)) return job
    await pause(WAIT_MS, undefined, { signal: session.signal }).catch((cause: unknown) => {
      throw new CliError('interrupted', { cause })
    })
  }
}

async function readDatums(session: Session, job: string): Promise<DatumJson[]> {
  const api = await session.api()
  const datums: DatumJson[] = []
  for (;;) {
    const query = queryString({ limit: DATUM_PAGE, after: datums.at(-1)?.id })
    const page = await api.get<DatumJson[]>(apiPath`/v1/jobs/${job}/datums` + query)
    datums.push(...page)
    if (page.length < DATUM_PAGE) return datums
  }
}

/** As Pachyderm shows it: run, reused and, if there are any, recovered and failed, of all. */
function progressOf({ datums }: JobJson): string {
  const { total, processed, skipped, failed, recovered } = datums
  const extra = `${recovered > 0 ? ` + ${recovered} recovered` : ''}${failed > 0 ? ` + ${failed} failed` : ''}`
  return `${processed} + ${skipped}${extra} / ${total}`
}

function describeJob(job: JobJson, nowMs: number): [string, string][] {
  const { total, processed, skipped, failed, recovered } = job.datums
  const pairs: [string, string][] = [
    ['Job', job.id],
    ['Pipeline', `${job.pipeline} (version ${job.specVersion} of its specification)`],
    ['State', job.state],
  ]
  if (job.reason !== undefined) pairs.push(['Reason', job.reason])
  pairs.push(
    ['Created', `${ago(job.created, nowMs)} (${job.created})`],
    ['Duration', between(job.started, job.finished, nowMs)],
    ['Datums', `${total}: ${processed} run, ${skipped} reused, ${recovered} recovered, ${failed} failed`],
    ['Restarts', String(job.restarts)],
    ['Input', job.inputs.map((ref) => `${ref.repo}@${ref.commit}`).join(', ')],
    ['Output', `${job.pipeline}@${job.outputCommit}`],
  )
  const { egress } = job
  if (egress) {
    pairs.push([
      'Egress',
      `${egress.state} to ${egress.url}, ${egress.attempts === 1 ? '1 try' : `${egress.attempts} tries`} (sluice egress inspect ${egress.id})`,
    ])
    pairs.push(['Pushed', describeProgress(egress)])
    const trying = describeTrying(egress, nowMs)
    if (trying !== undefined) pairs.push(['Trying again', trying])
    if (egress.reason !== undefined) pairs.push(['Egress reason', egress.reason])
  }
  return pairs
}

function describeDatum(datum: DatumJson, nowMs: number): [string, string][] {
  const pairs: [string, string][] = [
    ['Datum', datum.id],
    ['Job', datum.job],
    ['State', datum.state],
    ['Why', datum.why],
  ]
  if (datum.reason !== undefined) pairs.push(['Reason', datum.reason])
  if (datum.exitCode !== null) pairs.push(['Exit code', String(datum.exitCode)])
  pairs.push(['Attempts', String(datum.attempts)], ['Time', between(datum.started, datum.finished, nowMs)])
  pairs.push(['Read', humanSize(datum.bytesIn)], ['Written', humanSize(datum.bytesOut)])
  return [...pairs, ...datum.inputs.map((input): [string, string] => ['Input', input])]
}
