import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** fake-gcs-server, where PATH has it: an emulator of Google Cloud Storage in Go. */
export interface FakeGcs {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly endpoint: string
  makeBucket(name: string): Promise<void>
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 30_000

/** `missing` says what could not be started. Credentials are not checked by it. */
export async function startFakeGcs(): Promise<FakeGcs | { readonly missing: string }> {
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const child = spawn(
    'fake-gcs-server',
    ['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port), '-backend', 'memory', '-external-url', endpoint],
    { stdio: 'ignore' },
  )
  let gone: string | undefined
  child.once('error', () => {
    gone = 'fake-gcs-server not found: go install github.com/fsouza/fake-gcs-server@latest'
  })
  const ended = once(child, 'exit').then(
    () => {
      gone ??= 'fake-gcs-server ended at its start'
    },
    // It did not start at all: `gone` says so.
    () => undefined,
  )
  for (const late = AbortSignal.timeout(START_TIMEOUT_MS); !(await answers(endpoint)); await sleep(50)) {
    if (late.aborted) gone ??= `fake-gcs-server did not start in ${START_TIMEOUT_MS} ms`
    if (gone === undefined) continue
    child.kill()
    return { missing: gone }
  }
  return {
    port,
    endpoint,
    async makeBucket(name) {
      const answer = await fetch(`${endpoint}/storage/v1/b?project=tests`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name }),
      })
      if (!answer.ok) throw new Error(`fake-gcs-server made no bucket: ${answer.status} ${await answer.text()}`)
    },
    async stop() {
      child.kill()
      await ended
    },
  }
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    const answer = await fetch(`${endpoint}/storage/v1/b?project=tests`)
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    // Nobody listens there yet.
    return false
  }
}

/** It can't be told to take any port and say which. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
