import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { AzureCredentials } from '../credentials.ts'
import type { AzureTarget } from '../target.ts'
import { accountKey, azureTarget, makeContainer, testAccount } from './azure-account.ts'

/** Microsoft's emulator of Azure Storage, as a target to test against. */
export interface AzuriteServer {
  readonly port: number
  readonly endpoint: string
  readonly credentials: AzureCredentials
  target(container: string, folder?: string): AzureTarget
  makeContainer(name: string): Promise<void>
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 30_000

/** `missing` says what could not be started. */
export async function startAzurite(): Promise<AzuriteServer | { readonly missing: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-azurite-'))
  const child = spawn(
    'azurite-blob',
    ['--blobHost', '127.0.0.1', '--blobPort', '0', '--location', folder, '--disableTelemetry'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, AZURITE_ACCOUNTS: `${testAccount.account}:${accountKey}` },
    },
  )
  const failed = once(child, 'error').then(() => ({ missing: 'azurite-blob was not found: npm install -g azurite' }))
  const ended = once(child, 'exit').then(() => ({ missing: 'azurite-blob ended instead of starting' }))
  const late = AbortSignal.timeout(START_TIMEOUT_MS)
  const timedOut = once(late, 'abort').then(() => ({ missing: `azurite-blob did not start in ${START_TIMEOUT_MS} ms` }))
  const lines = createInterface({ input: child.stdout })
  const started = new Promise<{ port: number }>((resolve) => {
    lines.on('line', (line) => {
      const port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]
      if (port) resolve({ port: Number(port) })
    })
  })
  const outcome = await Promise.race([started, failed, ended, timedOut])
  if ('missing' in outcome) {
    child.kill()
    await rm(folder, { recursive: true, force: true })
    return outcome
  }
  const endpoint = `http://127.0.0.1:${outcome.port}/${testAccount.account}`
  return {
    port: outcome.port,
    endpoint,
    credentials: testAccount,
    target: (container, at) => azureTarget(endpoint, container, at),
    makeContainer: (name) => makeContainer(azureTarget(endpoint, name)),
    async stop() {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await ended
      lines.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
