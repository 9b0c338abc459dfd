import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ErrorJson } from '../api/contract.ts'
import { splitLines } from './client.ts'
import { ApiError, CliError } from './errors.ts'
import type { Session } from './session.ts'

/** Runs a command on a store that is not running, in a process of its own, and yields its lines. An error line is thrown. */
export async function* offlineLines<T>(session: Session, entry: string, request: unknown): AsyncGenerator<T> {
  // The same file runs as .ts here and as .js from dist/.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const file = fileURLToPath(new URL(`../${entry}.${extension}`, import.meta.url))
  const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  const stop = () => child.kill('SIGTERM')
  session.signal.addEventListener('abort', stop)
  try {
    child.stdin.end(JSON.stringify(request))
    for await (const line of splitLines(child.stdout)) {
      const value = JSON.parse(line) as T | ErrorJson
      if (typeof value === 'object' && value !== null && 'error' in value) {
        throw new ApiError(value.error.code, value.error.message, value.error.data)
      }
      yield value
    }
    const [code, signal] = await ended
    if (code !== 0) throw new CliError(`it did not come to its end (${signal ?? `exit code ${code}`})`)
  } finally {
    session.signal.removeEventListener('abort', stop)
    if (child.exitCode === null) child.kill('SIGTERM')
    await ended
  }
}
