import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createPlaces, type ObjectStore, openKeptSecret, type SecretParts, secretOfParts } from './cloud/index.ts'
import {
  createLog,
  DomainError,
  errorMessage,
  InvalidInput,
  openSecretBox,
  peekSqlite,
  systemClock,
} from './kernel/index.ts'
import { type Backups, listPlace, openStoppedBackups, restoreBackup, verifyPlace } from './versioning/index.ts'

/** What the command line asks for, as JSON on standard input. Answers are JSON lines; `{"error": …}` is the last of what failed. */
export interface OfflineRequest {
  readonly command: 'create' | 'list' | 'verify' | 'remove' | 'restore'
  readonly place: string
  /** Absolute. The store that is copied; for `restore` the folder that is filled. */
  readonly dataFolder?: string
  /** The name of a secret of that store, or the parts of one. */
  readonly secret?: string
  readonly credentials?: SecretParts
  readonly backup?: string
  readonly ids?: readonly string[]
  readonly keep?: number
  readonly all?: boolean
  readonly quick?: boolean
  readonly withoutKeys?: boolean
  readonly takeOver?: boolean
}

const clock = systemClock
const log = createLog('warn', process.stderr)

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function run(request: OfflineRequest, signal: AbortSignal): Promise<void> {
  const place = await openPlace(request)
  try {
    await runAt(place, request, signal)
  } finally {
    await place.close()
  }
}

async function runAt(place: ObjectStore, request: OfflineRequest, signal: AbortSignal): Promise<void> {
  const { command, dataFolder, backup } = request
  const one = backup === undefined ? {} : { backup }
  switch (command) {
    case 'restore':
      for await (const event of restoreBackup({ place, dataFolder: needed(dataFolder), ...one, log, signal }))
        say(event)
      return
    case 'list':
      for (const info of await listPlace(place)) say(info)
      return
    case 'verify': {
      const id = backup === undefined ? {} : { id: backup }
      const { all = false, quick = false } = request
      for await (const event of verifyPlace(place, { ...id, all, quick, signal })) say(event)
      return
    }
    case 'create':
      return withStore(needed(dataFolder), async (backups) => {
        const { withoutKeys = false, takeOver = false } = request
        for await (const event of backups.create(place, { withoutKeys, takeOver, signal })) say(event)
      })
    case 'remove':
      return withStore(needed(dataFolder), async (backups) => {
        const { keep, ids = [] } = request
        say(await backups.remove(place, keep === undefined ? { ids } : { keep }))
      })
  }
}

function needed(dataFolder: string | undefined): string {
  if (dataFolder === undefined) throw new InvalidInput('say which data folder: --data DIR')
  return dataFolder
}

async function withStore(dataFolder: string, work: (backups: Backups) => Promise<void>): Promise<void> {
  // All floors are a second of loading, which restoring need not wait for.
  const { storeMigrations } = await import('./server.ts')
  const { backups, close } = await openStoppedBackups({ dataFolder, known: storeMigrations, log, clock })
  try {
    await work(backups)
  } finally {
    await close()
  }
}

function openPlace({ command, place, secret, credentials, dataFolder }: OfflineRequest): Promise<ObjectStore> {
  const open = async (name: string) => {
    if (credentials) return secretOfParts(name, credentials, clock.now())
    return openStoredSecret(needed(dataFolder), name)
  }
  const name = credentials ? 'given' : secret
  const places = createPlaces({
    dataFolder,
    secrets: { open },
    // Whoever runs this has the machine's identity, and reaches what he pleases.
    hostIdentity: true,
    allowTargets: 'asked',
    clock,
  })
  return places.open(place, { secret: name, make: command === 'create' })
}

/** Without opening the database to write: a server may be running on it. */
async function openStoredSecret(dataFolder: string, name: string) {
  const box = await openSecretBox(dataFolder)
  return peekSqlite(join(dataFolder, 'meta.sqlite'), (all) =>
    openKeptSecret({ get: async (sql, params) => (await all<never>(sql, params as readonly string[]))[0] }, box, name),
  )
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort())
try {
  await run(JSON.parse(await text(process.stdin)) as OfflineRequest, stop.signal)
} catch (error) {
  const code = error instanceof DomainError ? error.code : 'InternalError'
  const data = error instanceof DomainError ? error.data : {}
  const message = error instanceof DomainError ? error.message : ((error as Error)?.stack ?? errorMessage(error))
  say({ error: { code, message, data } })
  process.exitCode = 1
}
