/** Runs test files by node's own runner and says at the end what was left out. Used by `npm test` and `npm run conformance`. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { type EventData, run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * One more than the cores of a small machine: tests wait for the disk, for processes that start and for a branch to be idle. Many more
 * would make those that watch real processes slow each other down.
 */
const FILES_AT_ONCE = 3
/** For each test that sets no limit of its own: a hang is a failure of that test, not of the whole run. */
const TEST_TIMEOUT_MS = 120_000
/** Everything together; only an endless loop that no timer can interrupt gets here. */
const RUN_TIMEOUT_MS = 45 * 60_000

/**
 * Runs the whole program again under the `node` package of this repository if an older Node started it, and ends with its
 * exit code; returns under the right one.
 */
export function underOurNode(): void {
  const ours = join(root, 'node_modules/node/bin/node')
  if (Number(process.versions.node.split('.')[0]) >= 24 || !existsSync(ours)) return
  const { status } = spawnSync(ours, process.argv.slice(1), { stdio: 'inherit' })
  process.exit(status ?? 1)
}

interface LeftOut {
  readonly file: string
  readonly name: string
  readonly reason: string
}

export interface RunOptions {
  readonly files: readonly string[]
  readonly filesAtOnce?: number
  readonly timeoutMs?: number
  /** True for a file of which nothing may be left out: on a machine on which its client is meant to be there. */
  readonly required?: (file: string) => boolean
}

/**
 * Each file is a process, many start servers, and each store has worker threads: all of them load the same modules, and taking
 * their types away and compiling them is most of what that costs. Node keeps what it made by the bytes it was made of, in one
 * file for each module, and goes on without where it can't write. Of the environment, so that processes that tests start have it too.
 */
function keepCompiled(): void {
  process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/compiled')
}

/** Resolves to the exit code: not 0 if a test failed, was cancelled, or if none ran at all. */
export async function runFiles(options: RunOptions): Promise<number> {
  keepCompiled()
  const leftOut: LeftOut[] = []
  let ran = 0
  let ok = true
  const stream = run({
    files: [...options.files],
    concurrency: options.filesAtOnce ?? FILES_AT_ONCE,
    timeout: options.timeoutMs ?? TEST_TIMEOUT_MS,
    signal: AbortSignal.timeout(RUN_TIMEOUT_MS),
    execArgv: ['--import', new URL('./watchdog.ts', import.meta.url).href],
  })
  const note = (event: EventData.TestPass | EventData.TestFail) => {
    if (event.skip === undefined) return
    const reason = typeof event.skip === 'string' && event.skip !== '' ? event.skip : 'no reason given'
    leftOut.push({ file: relative(root, event.file ?? ''), name: event.name, reason })
  }
  const deaths: string[] = []
  stream.on('test:pass', note)
  stream.on('test:fail', (event) => {
    note(event)
    // A file that was killed says nothing itself, and the reporter only that it failed.
    const { exitCode, signal } = event.details.error as { exitCode?: number; signal?: string | null }
    if (exitCode !== undefined || signal) deaths.push(`${event.name} ended with code ${exitCode}, signal ${signal}`)
  })
  stream.on('test:summary', ({ file, success, counts }) => {
    if (file !== undefined) return
    ok = success
    ran = counts.tests - counts.skipped
  })
  const report = stream.compose(new spec())
  report.pipe(process.stdout, { end: false })
  await once(report, 'end')
  for (const death of deaths) process.stdout.write(`${death}\n`)
  process.stdout.write(describeLeftOut(leftOut))
  if (ran === 0) process.stdout.write('no test ran: that is a failure\n')
  const wrongly = leftOut.filter(({ file }) => options.required?.(file))
  for (const { file, name } of wrongly) process.stdout.write(`${file}: ${name} was left out, and it is required\n`)
  return ok && ran > 0 && wrongly.length === 0 ? 0 : 1
}

function describeLeftOut(leftOut: readonly LeftOut[]): string {
  if (leftOut.length === 0) return '\nnothing was left out\n'
  const lines = leftOut.map(({ file, name, reason }) => `  ${basename(file)}: ${name} (${reason})`)
  return `\nleft out: ${leftOut.length}\n${lines.join('\n')}\n`
}
