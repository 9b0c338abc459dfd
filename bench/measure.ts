/** Runs a load against a server process and reads what it cost. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FromGenerator, Load, LoadResult, ToGenerator } from './load-protocol.ts'

/** Linux counts process times in hundredths of a second for every program (USER_HZ). */
const TICKS_PER_SECOND = 100

export interface Measured extends LoadResult {
  /** Of all threads of the server process, while the load ran. */
  readonly cpuSeconds: number
  readonly perSecond: number
  readonly perCpuSecond: number
  readonly megabytesPerSecond: number
}

/** User and system time of all threads of a process, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name in parentheses may hold spaces: fields are counted after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Starts a generator, lets it prepare, and measures the server only while the load runs. */
export async function measure(pid: number, load: Load): Promise<Measured> {
  const child = fork(fileURLToPath(new URL('./load.ts', import.meta.url)))
  const next = async (): Promise<FromGenerator> => {
    const [message] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => [{ error: 'the load generator ended' }]),
    ])) as [FromGenerator]
    if (typeof message === 'object' && 'error' in message) throw new Error(message.error)
    return message
  }
  const tell = (message: ToGenerator) => child.send(message)
  try {
    tell({ load })
    await next()
    const before = cpuSeconds(pid)
    tell('go')
    const answer = await next()
    const cpu = cpuSeconds(pid) - before
    if (answer === 'ready' || 'error' in answer) throw new Error('the load generator answered out of turn')
    const { result } = answer
    return {
      ...result,
      cpuSeconds: cpu,
      perSecond: result.requests / result.seconds,
      perCpuSecond: result.requests / cpu,
      megabytesPerSecond: result.bytes / result.seconds / 1e6,
    }
  } finally {
    child.kill()
  }
}
