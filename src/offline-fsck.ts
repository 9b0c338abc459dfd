import { text } from 'node:stream/consumers'
import { egressReferences } from './egress/index.ts'
import { createLog, DomainError, errorMessage } from './kernel/index.ts'
import { pipelineReferences } from './pipelines/index.ts'
import { storeMigrations } from './server.ts'
import { checkStopped } from './versioning/index.ts'

/** What the command line asks for, as JSON on standard input. Answers are JSON lines; `{"error": …}` is the last of what failed. */
export interface OfflineFsckRequest {
  /** Absolute. */
  readonly dataFolder: string
  readonly deep?: boolean
  readonly repair?: boolean
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort())
try {
  const { dataFolder, deep = false, repair = false } = JSON.parse(await text(process.stdin)) as OfflineFsckRequest
  const store = {
    dataFolder,
    known: storeMigrations,
    sources: [pipelineReferences, egressReferences],
    log: createLog('warn', process.stderr),
  }
  for await (const event of checkStopped(store, { deep, repair, signal: stop.signal })) say(event)
} catch (error) {
  const code = error instanceof DomainError ? error.code : 'InternalError'
  const data = error instanceof DomainError ? error.data : {}
  const message = error instanceof DomainError ? error.message : ((error as Error)?.stack ?? errorMessage(error))
  say({ error: { code, message, data } })
  process.exitCode = 1
}
