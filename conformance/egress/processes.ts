/** Servers of others as programs: started on a port of their own, asked until they answer, ended by signal. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
/** Of what it says, for the message of a failure. */
const KEPT_OUTPUT_CHARACTERS = 16 * 1024

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Some of them take no port 0, or do not say which port they got. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export interface Running {
  stop(): Promise<void>
}

/** Resolves when `http://127.0.0.1:port/` answers, whatever it says. Rejects with its output if it ends before. */
export async function startProgram(
  command: string,
  args: readonly string[],
  port: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let said = ''
  const keep = (bytes: Buffer) => {
    said = (said + bytes).slice(-KEPT_OUTPUT_CHARACTERS)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  let failure: Error | undefined
  child.on('error', (error) => {
    failure = error
  })
  const ended = once(child, 'close').finally(() => running.delete(child))
  // Whoever waits for it below hears of its end by exitCode; nobody may be waiting when it can't be started.
  ended.catch(() => undefined)
  const stop = async () => {
    child.kill('SIGTERM')
    const late = await Promise.race([ended.then(() => false), sleep(STOP_TIMEOUT_MS, true, { ref: false })])
    if (late) child.kill('SIGKILL')
    await ended
  }
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await answers(port))) {
    const over = child.exitCode !== null || child.signalCode !== null || failure !== undefined
    if (!over && Date.now() < deadline) {
      await sleep(50)
      continue
    }
    if (!over) await stop()
    throw new Error(`${command} ${args.join(' ')} is not up: ${said}`, { cause: failure })
  }
  return { stop }
}

async function answers(port: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) })
    await answer.body?.cancel()
    return true
  } catch {
    // Not yet: asked again until the deadline.
    return false
  }
}
