import { type CliConfig, cliConfigOfProcess, errnoOf } from '../kernel/index.ts'
import { report, runCommand } from './run.ts'

/** A terminal sends Ctrl-C to us and to the launcher, which passes it on: two signals so close are one. */
const SAME_INTERRUPT_MS = 300
/** 128 + SIGINT, as shells have it. */
const INTERRUPTED = 130

/** Ctrl-C ends what is under way and cleans up; pressed again it ends the process at once. */
function onInterrupt(): AbortSignal {
  const interrupt = new AbortController()
  let firstMs: number | undefined
  process.on('SIGINT', () => {
    firstMs ??= Date.now()
    if (Date.now() - firstMs > SAME_INTERRUPT_MS) process.exit(INTERRUPTED)
    interrupt.abort()
  })
  return interrupt.signal
}

async function main(): Promise<number> {
  const { stdin, stdout, stderr } = process
  const signal = onInterrupt()
  // Whoever read our output has seen enough (`| head`): nothing more is to be said to anybody.
  stdout.on('error', (error) => {
    if (errnoOf(error) === 'EPIPE') process.exit(0)
    throw error
  })
  let config: CliConfig
  try {
    config = cliConfigOfProcess()
  } catch (error) {
    return report(error, stderr)
  }
  const code = await runCommand(process.argv.slice(2), { config, stdin, stdout, stderr, signal, now: Date.now })
  // A pipe or a prompt that never ends may still be open.
  if (signal.aborted) process.exit(INTERRUPTED)
  return code
}

process.exitCode = await main()
