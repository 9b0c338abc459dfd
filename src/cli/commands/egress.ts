import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { EgressJson, EgressRequestedJson } from '../../api/contract.ts'
import { parseRevision } from '../address.ts'
import { apiPath, queryString } from '../client.ts'
import { describeProgress, describeTrying, ProgressLine } from '../egress-progress.ts'
import { ApiError, CliError } from '../errors.ts'
import { ago, between, details, humanSize, shorten } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'
import { parseCount } from './commits.ts'
import { readJob } from './jobs.ts'

const DEFAULT_LISTED = 100
/** How often a push that is waited for is looked at. */
const LOOK_MS = 500

interface RunOptions extends JsonOption {
  readonly secret?: string
  readonly layout?: string
  readonly keep?: number
  readonly manifest?: Manifests
  readonly success?: boolean
  readonly parallel?: number
  readonly bandwidth?: string
  readonly detach?: boolean
}

/** Without a path it is `true`. */
type Manifests = true | readonly (string | true)[]

const EXAMPLES = `
  sluice egress run edges@master s3://bucket/edges --secret results
  sluice egress run edges@4f2a6c1e gs://bucket/edges --secret google --layout commit --success
  sluice egress list --state failed
  sluice egress retry 9d41c2aa`

/** Returns the group, for commands that are made elsewhere. */
export function addEgressCommands(program: Command, session: Session): Command {
  const egress = program.command('egress').description('pushes to object stores outside').addHelpText('after', EXAMPLES)
  addShowCommands(egress, session)
  withJson(egress.command('run <repo@commit> <url>'))
    .description('push a finished commit to an object store, and wait for it; exits with 1 if it fails')
    .option('--secret <name>', 'the credentials, as `sluice secret create` keeps them')
    .option(
      '--layout <layout>',
      'plain: the files in the folder itself; commit: a folder for each commit, and `latest`',
    )
    .option('--keep <count>', 'with --layout commit: how many commits stay there', parseCount)
    .option(
      '--manifest [path]',
      'write a manifest for Redshift COPY (manifest.json if left out); more than once',
      several,
    )
    .option('--success', 'write _SUCCESS when all is there')
    .option('--parallel <files>', 'so many files at once', parseCount)
    .option('--bandwidth <bytes>', 'at most so many bytes a second: 500000, 50MB, 100MiB')
    .option('--detach', 'print the id and do not wait')
    .action(async (source: string, url: string, options: RunOptions) => {
      const { repo, revision } = parseRevision(source)
      const api = await session.api()
      const body = { commit: `${repo}@${revision}`, egress: egressOf(url, options) }
      const { egress: queued, notes } = await api.post<EgressRequestedJson>('/v1/egress', body).catch(namingOptions)
      for (const text of notes) note(session, text)
      if (options.detach) return show(session, options, queued, `${queued.id}\n`)
      await waitFor(session, options, queued)
    })
  withJson(egress.command('retry <egress>'))
    .description(
      'run an egress again that failed, from where it was, and wait for it; a job whose output it is goes on',
    )
    .option('--detach', 'print the id and do not wait')
    .action(async (id: string, options: JsonOption & { detach?: boolean }) => {
      const queued = await (await session.api()).act<EgressJson>(apiPath`/v1/egress/${id}/retry`)
      if (options.detach) return show(session, options, queued, `${queued.id}\n`)
      await waitFor(session, options, queued)
      if (queued.job === undefined || session.exitCode !== 0) return
      // Its results can be read a moment after they have arrived.
      const { state, reason = 'no reason is known' } = await readJob(session, queued.job, true)
      if (state !== 'success') throw new CliError(`job ${queued.job} did not succeed: ${reason}`)
    })
  egress
    .command('cancel <egress>')
    .description('give an egress up; what has arrived stays there, and a job whose output it is fails')
    .action(async (id: string) => {
      const { state, reason, id: found } = await (await session.api()).act<EgressJson>(apiPath`/v1/egress/${id}/cancel`)
      if (state === 'success' || (reason !== undefined && reason !== 'cancelled')) {
        note(session, `egress ${found} had ended before: ${state}`)
      }
    })
  return egress
}

function addShowCommands(egress: Command, session: Session): void {
  withJson(egress.command('list').description('list egresses, newest first'))
    .option('--repo <name>', 'only of this repo')
    .option('--state <state>', 'only waiting, running, success or failed ones')
    .option('--before <egress>', 'go on after the one that the list before ended with')
    .option('-n, --number <count>', `at most so many (${DEFAULT_LISTED} if left out, 1000 at most)`, parseCount)
    .action(async (options: JsonOption & { repo?: string; state?: string; before?: string; number?: number }) => {
      const { repo, state, before, number: limit = DEFAULT_LISTED } = options
      const query = queryString({ repo, state, before, limit })
      const found = await (await session.api()).get<EgressJson[]>(`/v1/egress${query}`)
      const now = session.now()
      printList(session, options, found, [
        ['ID', (item) => item.id],
        ['COMMIT', (item) => `${item.repo}@${item.commit.slice(0, 12)}`],
        ['URL', (item) => item.url],
        ['STARTED', (item) => (item.started === null ? '-' : ago(item.started, now))],
        ['DURATION', (item) => between(item.started, item.finished, now)],
        ['PROGRESS', describeProgress],
        ['STATE', (item) => stateOf(item, now)],
      ])
    })
  withJson(egress.command('inspect <egress>').description('show an egress and its tries; exits with 1 if it failed'))
    .option('--wait', 'wait until it has ended')
    .action(async (id: string, options: JsonOption & { wait?: boolean }) => {
      const found = await (await session.api()).get<EgressJson>(apiPath`/v1/egress/${id}`)
      const shown = options.wait ? await ended(session, found) : found
      if (shown.state === 'failed') session.exitCode = 1
      show(session, options, shown, details(describeEgress(shown, session.now())))
    })
}

/** With why it is not further. */
function stateOf(egress: EgressJson, nowMs: number): string {
  const trying = describeTrying(egress, nowMs)
  const why = egress.reason ?? (trying === undefined ? undefined : `trying again: ${trying}`)
  return why === undefined ? egress.state : `${egress.state}: ${shorten(why, 80)}`
}

/** A refusal that speaks of a specification's field names the option that is meant, too. */
function namingOptions(error: unknown): never {
  if (!(error instanceof ApiError && error.code === 'InvalidInput')) throw error
  const options = /\begress\.(secret|layout|keep|manifest|success|parallel|bandwidth)\b/
  throw new ApiError(error.code, error.message.replace(options, '$& (--$1)'), error.data)
}

/** What a pipeline's specification would say. */
function egressOf(url: string, options: RunOptions): object {
  const { secret, layout, keep, success, parallel, bandwidth, manifest } = options
  return {
    URL: url,
    ...(secret !== undefined && { secret }),
    ...(layout !== undefined && { layout }),
    ...(keep !== undefined && { keep }),
    ...(success && { success }),
    ...(parallel !== undefined && { parallel }),
    ...(bandwidth !== undefined && { bandwidth: /^\d+$/.test(bandwidth) ? Number(bandwidth) : bandwidth }),
    ...(manifest !== undefined && { manifest }),
  }
}

/** An option that may be given several times, with or without a value. */
function several(value: string, before: Manifests | undefined): Manifests {
  return before === undefined ? [value] : before === true ? [true, value] : [...before, value]
}

async function waitFor(session: Session, options: JsonOption, queued: EgressJson): Promise<void> {
  note(session, `egress ${queued.id}: ${queued.repo}@${queued.commit.slice(0, 12)} to ${queued.url}`)
  const end = await ended(session, queued)
  if (end.state === 'failed') session.exitCode = 1
  if (options.json) return printJson(session, end)
  if (end.state === 'failed') {
    throw new CliError(
      `egress ${end.id} failed: ${end.reason ?? 'no reason is known'}; when that is put right: sluice egress retry ${end.id}`,
    )
  }
  print(
    session,
    `${end.repo}@${end.commit} is at ${end.url}: ${describeProgress(end)}, ${between(end.started, end.finished, session.now())}\n`,
  )
}

/** Waits for its end, and shows how far it is. Interrupted, it goes on without us. */
async function ended(session: Session, egress: EgressJson): Promise<EgressJson> {
  const api = await session.api()
  const line = new ProgressLine(session.stderr)
  try {
    for (let now = egress; ; now = await api.get<EgressJson>(apiPath`/v1/egress/${egress.id}`)) {
      if (now.state === 'success' || now.state === 'failed') return now
      line.show(now, session.now())
      await pause(LOOK_MS, undefined, { signal: session.signal })
    }
  } catch (error) {
    if (!session.signal.aborted) throw error
    throw new CliError(
      `interrupted; egress ${egress.id} goes on: sluice egress inspect ${egress.id} shows how far it is, sluice egress cancel ${egress.id} ends it`,
      { cause: error },
    )
  } finally {
    line.end()
  }
}

function show(session: Session, options: JsonOption, egress: EgressJson, text: string): void {
  if (options.json) printJson(session, egress)
  else print(session, text)
}

function describeEgress(egress: EgressJson, nowMs: number): [string, string][] {
  const pairs: [string, string][] = [
    ['Egress', egress.id],
    ['Commit', `${egress.repo}@${egress.commit}`],
    ['To', egress.url],
  ]
  if (egress.secret !== undefined) pairs.push(['Secret', egress.secret])
  pairs.push(['Asked by', egress.job === undefined ? (egress.askedBy ?? '-') : `job ${egress.job}`])
  pairs.push(...describeSettings(egress.settings))
  pairs.push(['State', egress.state])
  if (egress.reason !== undefined) pairs.push(['Reason', egress.reason])
  if (egress.state === 'failed') pairs.push(['Go on', `sluice egress retry ${egress.id}`])
  if (egress.created !== null) pairs.push(['Created', `${ago(egress.created, nowMs)} (${egress.created})`])
  pairs.push(['Duration', between(egress.started, egress.finished, nowMs)])
  pairs.push(['Progress', describeProgress(egress)])
  const trying = describeTrying(egress, nowMs)
  if (trying !== undefined) pairs.push(['Trying again', trying])
  if (egress.verified) {
    const { at, drift } = egress.verified
    pairs.push(['Verified', `${ago(at, nowMs)} (${at}): ${drift === 0 ? 'all as it was put there' : `${drift} other`}`])
  }
  for (const attempt of egress.history ?? []) {
    const { result, started, finished, files, bytes, reason } = attempt
    const what = `${result}, began ${started}, ${between(started, finished, nowMs)}, ${files} file(s), ${humanSize(bytes)}`
    pairs.push([`Try ${attempt.attempt}`, reason === undefined ? what : `${what}: ${reason}`])
  }
  return pairs
}

function describeSettings(settings: EgressJson['settings']): [string, string][] {
  const { layout, keep, manifests, success, parallel, bandwidth } = settings
  const said = [
    ...(layout === 'commit' ? [`a folder for each commit${keep === undefined ? '' : `, ${keep} kept`}`] : []),
    ...manifests.map(({ path, glob }) => `manifest ${path}${glob === undefined ? '' : ` of ${glob}`}`),
    ...(success ? ['_SUCCESS'] : []),
    ...(parallel === undefined ? [] : [`${parallel} file(s) at once`]),
    ...(bandwidth === undefined ? [] : [`at most ${humanSize(bandwidth)}/s`]),
  ]
  return said.length === 0 ? [] : [['Settings', said.join('; ')]]
}
