import { chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf, errorMessage } from '../../kernel/index.ts'
import type { CommitId, DatumOutput, Origin, OutputFile, TreeHold } from '../../versioning/index.ts'
import { type Code, isUnchanged } from '../code/index.ts'
import type { LogWriter } from '../logs/index.ts'
import { environmentName, type Spec } from '../spec/index.ts'
import type { DatumEnd } from '../store/index.ts'
import { collectOutput } from './collect.ts'
import type { EngineContext } from './context.ts'
import { asStorageError, DatumFailure } from './failure.ts'
import { materialise, type SharedFiles } from './materialise.ts'
import type { PlannedDatum } from './plan-job.ts'

/** Waits between tries: 100 ms, 400 ms, 1.6 s … */
const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 30_000
/** What of the standard error is quoted as the reason. */
const TAIL_CHARACTERS = 1_000
const MAX_QUOTED_LINES = 3

/** What all datums of one job share. */
export interface DatumJob {
  readonly id: string
  readonly pipeline: string
  readonly outputCommit: CommitId
  readonly spec: Spec
  readonly code: Code
  readonly folder: string
  readonly shared: SharedFiles | undefined
  /** Ends everything. */
  readonly signal: AbortSignal
  /** Keeps what the datums wrote until the job has ended. */
  readonly hold: TreeHold
  onAttempt(datum: string, attempt: number, startedMs: number): void
}

/**
 * Runs one datum until it succeeds, is recovered by err_cmd, or has had its tries. Throws what is not the datum's fault: the job's
 * stop, a full disk, damaged content.
 */
export async function runDatum(context: EngineContext, job: DatumJob, planned: PlannedDatum): Promise<DatumEnd> {
  const { id } = planned.datum
  const writer = context.logs.writer(job.id, id)
  const startedMs = context.clock.now()
  const ended = (end: Pick<DatumEnd, 'state' | 'attempts' | 'exitCode' | 'reason' | 'result'>): DatumEnd => {
    return { id, startedMs, finishedMs: context.clock.now(), ...end }
  }
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const last = attempt >= job.spec.datumTries
        return ended({ attempts: attempt, ...(await tryOnce(context, job, planned, { attempt, last, writer })) })
      } catch (error) {
        job.signal.throwIfAborted()
        if (!(error instanceof DatumFailure)) throw asStorageError(error)
        const exitCode = error.exitCode === undefined ? {} : { exitCode: error.exitCode }
        writer.system(`try ${attempt} of ${job.spec.datumTries} failed: ${error.message}`)
        if (attempt >= job.spec.datumTries || !error.retryable) {
          return ended({ state: 'failed', attempts: attempt, reason: error.message, ...exitCode })
        }
      }
      await sleep(Math.min(FIRST_BACKOFF_MS * 4 ** (attempt - 1), MAX_BACKOFF_MS), undefined, { signal: job.signal })
    }
  } finally {
    await writer.close()
  }
}

interface Try {
  readonly attempt: number
  readonly last: boolean
  readonly writer: LogWriter
}

function tryOnce(context: EngineContext, job: DatumJob, planned: PlannedDatum, attempt: Try) {
  return context.pool.run(job.signal, async () => {
    const folder = join(job.folder, `${planned.datum.id}-${attempt.attempt}`)
    job.onAttempt(planned.datum.id, attempt.attempt, context.clock.now())
    try {
      await mkdir(folder, { recursive: true })
      await materialise(context.versioning.content, planned.datum, folder, { shared: job.shared, signal: job.signal })
      return await process(context, job, planned, { ...attempt, folder })
    } finally {
      await removeFolder(folder)
    }
  })
}

async function process(
  context: EngineContext,
  job: DatumJob,
  planned: PlannedDatum,
  attempt: Try & { folder: string },
): Promise<Pick<DatumEnd, 'state' | 'exitCode' | 'reason' | 'result'>> {
  const { cmd, stdin, errCmd, errStdin } = job.spec.transform
  const run = await runCommand(context, job, planned, { ...attempt, cmd, stdin })
  if (run.failure === undefined) {
    const files = await collectOutput(attempt.folder, context.runner.pfsRoot(attempt.folder))
    const output = await storeFiles(context, job, files, { job: job.id, datum: planned.datum.id })
    // Code that was replaced under its own run may not stand for what it is said to be.
    const reusable = await isUnchanged(job.code)
    const result = { ...output, job: job.id, fingerprint: planned.fingerprint, reusable }
    return { state: 'success', result, exitCode: run.exitCode ?? 0 }
  }
  if (errCmd && attempt.last && !job.signal.aborted) {
    attempt.writer.system(`${run.failure}; err_cmd runs`)
    const recovery = await runCommand(context, job, planned, { ...attempt, cmd: errCmd, stdin: errStdin })
    if (recovery.failure === undefined) {
      return { state: 'recovered', reason: run.failure, ...(run.exitCode !== undefined && { exitCode: run.exitCode }) }
    }
    throw new DatumFailure(`${run.failure}; err_cmd failed too: ${recovery.failure}`, {
      ...(run.exitCode !== undefined && { exitCode: run.exitCode }),
    })
  }
  throw new DatumFailure(run.failure, { ...(run.exitCode !== undefined && { exitCode: run.exitCode }) })
}

async function storeFiles(
  context: EngineContext,
  { hold }: DatumJob,
  files: readonly OutputFile[],
  origin: Origin,
): Promise<DatumOutput> {
  try {
    return await context.versioning.derived.storeOutput(files, origin, hold)
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error
    const path = files.find(({ diskPath }) => errorMessage(error).includes(diskPath))?.path
    throw new DatumFailure(`/pfs/out/${path ?? ''} can't be a result: it may not be read`)
  }
}

interface CommandEnd {
  /** Why it did not succeed. */
  readonly failure?: string
  readonly exitCode?: number
}

async function runCommand(
  context: EngineContext,
  job: DatumJob,
  planned: PlannedDatum,
  input: { folder: string; cmd: readonly string[]; stdin: readonly string[] | undefined; writer: LogWriter },
): Promise<CommandEnd> {
  const { transform, datumTimeoutMs, written } = job.spec
  const limit = datumTimeoutMs === undefined ? undefined : AbortSignal.timeout(datumTimeoutMs)
  let tail = ''
  const result = await context.runner.run({
    cmd: input.cmd,
    ...(input.stdin && { stdin: input.stdin }),
    env: environmentOf(job, planned, context.runner.pfsRoot(input.folder)),
    ...(transform.workingDir !== undefined && { workingDir: transform.workingDir }),
    readable: job.code.readable,
    datumFolder: input.folder,
    signal: limit ? AbortSignal.any([job.signal, limit]) : job.signal,
    onOutput: (stream, bytes) => {
      input.writer.write(stream, bytes)
      if (stream === 'stderr') tail = (tail + bytes.toString()).slice(-TAIL_CHARACTERS)
    },
  })
  job.signal.throwIfAborted()
  if (limit?.aborted && result.kind !== 'exited')
    return {
      failure: `it took longer than datum_timeout ${written.datumTimeout ?? `${datumTimeoutMs}ms`} and was killed`,
    }
  const said = lastLines(tail)
  switch (result.kind) {
    case 'not-started':
      return { failure: result.reason + said }
    case 'killed':
      return { failure: `killed by ${result.signal}${said}` }
    case 'exited':
      if (result.code === 0 || transform.acceptReturnCode.includes(result.code)) return { exitCode: result.code }
      return { exitCode: result.code, failure: `${describeExit(input.cmd, result.code)}${said}` }
  }
}

function describeExit(cmd: readonly string[], code: number): string {
  const name = JSON.stringify(cmd[0])
  if (code === 127) return `exit code 127: ${name} (or something that it runs) was not found`
  if (code === 126) return `exit code 126: ${name} (or something that it runs) could not be executed`
  return code > 128 && code < 160 ? `exit code ${code} (signal ${code - 128})` : `exit code ${code}`
}

function lastLines(tail: string): string {
  const lines = tail
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  return lines.length === 0 ? '' : `: ${lines.slice(-MAX_QUOTED_LINES).join(' / ')}`
}

function environmentOf(job: DatumJob, { datum }: PlannedDatum, pfsRoot: string): Readonly<Record<string, string>> {
  const env: Record<string, string> = Object.assign(Object.create(null), job.spec.transform.env)
  for (const input of datum.inputs) {
    const name = environmentName(input.name)
    env[name] = `${pfsRoot}/${input.name}${input.match.path === '/' ? '' : input.match.path}`
    env[`${name}_COMMIT`] = input.commit
  }
  for (const prefix of ['PACH', 'SLUICE']) {
    env[`${prefix}_JOB_ID`] = job.id
    env[`${prefix}_OUTPUT_COMMIT_ID`] = job.outputCommit
    env[`${prefix}_DATUM_ID`] = datum.id
  }
  return env
}

/** Removes a scratch folder, also where user code took away the right to look into its own folders. */
export async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 })
  } catch (error) {
    if (errnoOf(error) !== 'EACCES' && errnoOf(error) !== 'EPERM') throw error
    await openFolders(folder)
    await rm(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 })
  }
}

async function openFolders(folder: string): Promise<void> {
  await chmod(folder, 0o700)
  for (const item of await readdir(folder, { withFileTypes: true })) {
    if (item.isDirectory()) await openFolders(join(folder, item.name))
  }
}
