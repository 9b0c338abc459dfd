import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A second S3 server to test against: moto's (a Python package), where Python has it. */
export interface MotoServer {
  readonly port: number
  /** Makes a bucket and returns its name. */
  makeBucket(name: string): Promise<string>
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 30_000

/** `missing` says what could not be started. Sizes of parts are not checked by it, nor are credentials. */
export async function startMoto(): Promise<MotoServer | { readonly missing: string }> {
  const child = spawn('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const failed = once(child, 'error').then(([error]: Error[]) => ({
    missing: `python3 does not start: ${error?.message}`,
  }))
  const ended = once(child, 'exit').then(() => ({ missing: 'python3 has no moto server: pip install "moto[server]"' }))
  const late = AbortSignal.timeout(START_TIMEOUT_MS)
  const timedOut = once(late, 'abort').then(() => ({
    missing: `moto's server did not start in ${START_TIMEOUT_MS} ms`,
  }))
  const lines = createInterface({ input: child.stderr })
  const started = new Promise<{ port: number }>((resolve) => {
    lines.on('line', (line) => {
      const port = /Running on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]
      if (port) resolve({ port: Number(port) })
    })
  })
  const outcome = await Promise.race([started, failed, ended, timedOut])
  if ('missing' in outcome) {
    child.kill()
    return outcome
  }
  const { port } = outcome
  return {
    port,
    async makeBucket(name) {
      const answer = await fetch(`http://127.0.0.1:${port}/${name}`, {
        method: 'PUT',
        headers: { authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request' },
      })
      if (!answer.ok) throw new Error(`moto made no bucket: ${answer.status} ${await answer.text()}`)
      return name
    },
    async stop() {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await ended
      lines.close()
    },
  }
}
