import { access, constants, mkdir, open, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { Server as TlsServer } from 'node:tls'
import { createApi } from './api/index.ts'
import { cloudMigrations, createPlaces, openSecretStore } from './cloud/index.ts'
import { egressMigrations, egressReferences, measureEgress, openEgress } from './egress/index.ts'
import { createGateway } from './gateway/index.ts'
import {
  type AccessLog,
  accessMigrations,
  type Clock,
  type Config,
  DomainError,
  digestsUnderWay,
  errnoOf,
  errorMessage,
  InvalidConfig,
  type Log,
  loadRootKey,
  lockFolder,
  Metrics,
  type MigrationSet,
  measureProcess,
  migrate,
  openAccessLog,
  openSecretBox,
  openSqlite,
  openTls,
  openUsers,
  shutdownDigests,
} from './kernel/index.ts'
import { measureJobs, openPipelines, pipelineMigrations, pipelineReferences } from './pipelines/index.ts'
import {
  checkStoreFolder,
  measureHistory,
  measureUpkeep,
  openVersioning,
  type Versioning,
  versioningMigrations,
} from './versioning/index.ts'

/** What this release knows of the metadata, floor by floor. */
export const storeMigrations: readonly MigrationSet[] = [
  accessMigrations,
  versioningMigrations,
  cloudMigrations,
  egressMigrations,
  pipelineMigrations,
]

export interface RunningServer {
  readonly s3Url: string
  readonly apiUrl: string
  /** Where the root key is kept; undefined if the configuration set it. */
  readonly rootKeyFile: string | undefined
  /** The access log goes on in a new file: the old one was moved away. */
  reopenLogs(): Promise<void>
  /** Looks at the certificate files now; they are watched as well. */
  reloadCertificate(): Promise<void>
  /** Takes no new request, stops the engines, and closes the store. */
  close(): Promise<void>
}

export interface ServerOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** Called when the disk failed under acknowledged data: the process must stop, never guess. */
  readonly onFatal: (error: Error) => void
}

/**
 * Puts all floors together over one data folder, which it locks. What was opened is closed again if a later step fails. Throws
 * StoreLocked, NewerStore, Corrupt, and what `listen` throws.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, clock, log, version, onFatal } = options
  const { dataFolder } = config
  const opened = new Closers()
  try {
    const lock = await takeFolder(dataFolder)
    opened.add(() => lock.release())
    await checkStoreFolder(dataFolder, storeMigrations)
    opened.add(() => shutdownDigests())
    const accessLog = await openAccessLog(config.accessLog, { log })
    opened.add(() => accessLog.close())
    const metrics = new Metrics(log)
    const stopMeasuring = measureProcess(metrics)
    opened.add(async () => stopMeasuring())
    const rootKey = await loadRootKey(config)

    const databaseFile = join(dataFolder, 'meta.sqlite')
    const db = await openSqlite({ file: databaseFile, log, onFatal, guarded: true })
    opened.add(() => db.close())
    await migrate(db, storeMigrations)

    const versioning = await openVersioning({
      db,
      databaseFile,
      dataFolder,
      batch: config.batch,
      versioning: config.versioning,
      holders: [pipelineReferences, egressReferences],
      gcEveryMs: config.gcEveryMs,
      clock,
      log,
      onFatal,
      unreachableMs: config.unreachableMs,
    })
    opened.add(() => versioning.close())
    const box = await openSecretBox(dataFolder)
    const secrets = openSecretStore({ db, box, clock })
    const meter = measureEgress(metrics, db)
    const egress = openEgress({ db, versioning, secrets, config, clock, log, meter })
    const scratchFolder = join(dataFolder, 'scratch')
    const pipelines = await openPipelines({ db, versioning, egress, config, clock, log, scratchFolder })

    measureHistory(metrics, db)
    measureUpkeep(metrics, db)
    measureJobs(metrics, db)
    measureStore(metrics, { versioning, accessLog, version })

    // What was made by now must still be there after a loss of power.
    await syncFolder(dataFolder)
    await syncFolder(dirname(dataFolder))

    const users = await openUsers({ db, box, rootKey, roles: versioning.roles, clock })
    const tls = config.tls && (await openTls(config.tls, log))
    opened.add(async () => tls?.close())
    const gateway = createGateway({
      versioning,
      pipelines,
      keys: users,
      people: users,
      tls,
      config,
      clock,
      log,
      metrics,
      accessLog,
    })
    opened.add(() => gateway.close())
    const api = createApi({
      versioning,
      pipelines,
      egress,
      secrets,
      users,
      places: createPlaces({
        dataFolder,
        secrets,
        hostIdentity: config.egressDefaultCredentials,
        allowTargets: config.allowTargets,
        clock,
      }),
      keys: users,
      tls,
      config,
      clock,
      log,
      version,
      metrics,
      accessLog,
    })
    opened.add(() => api.close())
    const s3Url = await listen(gateway.server, config.s3Port, config.host, 'SLUICE_S3_PORT')
    const apiUrl = await listen(api.server, config.apiPort, config.host, 'SLUICE_API_PORT')

    await pipelines.startEngine()
    opened.add(() => pipelines.stopEngine())
    await egress.start()
    opened.add(() => egress.stop())

    const addressFile = join(dataFolder, 'server.json')
    await writeFile(addressFile, `${JSON.stringify({ s3Url, apiUrl, pid: process.pid }, null, 2)}\n`)
    opened.add(() => rm(addressFile, { force: true }))
    log.info({ s3Url, apiUrl, dataFolder }, 'Sluice is ready')
    return {
      s3Url,
      apiUrl,
      rootKeyFile: rootKey.file,
      reopenLogs: () => accessLog.reopen(),
      reloadCertificate: async () => tls?.reload(),
      close: () => opened.close(),
    }
  } catch (error) {
    await opened.close()
    throw error
  }
}

function measureStore(
  metrics: Metrics,
  { versioning, accessLog, version }: { versioning: Versioning; accessLog: AccessLog; version: string },
): void {
  metrics.read('sluice_info', 'Always 1; its label is the version that runs.', () => [[[version], 1]], {
    labels: ['version'],
  })
  metrics.read('sluice_digests_under_way', 'Digests of large bodies that the worker threads are at.', digestsUnderWay)
  metrics.read('sluice_storage_full', '1 while writes are refused for want of room.', () => (versioning.full ? 1 : 0))
  metrics.read(
    'sluice_access_log_lost_lines_total',
    'Lines of the access log that could not be kept.',
    () => accessLog.lost,
    {
      type: 'counter',
    },
  )
}

/** Closes what was opened, the last first. */
class Closers {
  readonly #closers: (() => Promise<unknown>)[] = []

  add(closer: () => Promise<unknown>): void {
    this.#closers.push(closer)
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) await close()
  }
}

async function takeFolder(dataFolder: string): ReturnType<typeof lockFolder> {
  try {
    await mkdir(dataFolder, { recursive: true, mode: 0o700 })
    await access(dataFolder, constants.W_OK | constants.X_OK)
    return await lockFolder(dataFolder)
  } catch (error) {
    if (error instanceof DomainError) throw error
    throw new InvalidConfig([`SLUICE_DATA=${dataFolder} can't be used as a data folder: ${errorMessage(error)}`])
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** "All addresses" is nothing that a client on this machine could connect to. */
function reachableName(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return address.includes(':') ? `[${address}]` : address
}

function listen(server: Server, port: number, host: string, setting: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      const taken = errnoOf(error) === 'EADDRINUSE'
      reject(
        taken ? new InvalidConfig([`port ${port} on ${host} is in use; set ${setting} to another (0: any)`]) : error,
      )
    }
    server.once('error', failed)
    server.listen({ port, host, backlog: 1024 }, () => {
      server.off('error', failed)
      const { address, port: chosen } = server.address() as AddressInfo
      const scheme = server instanceof TlsServer ? 'https' : 'http'
      resolve(`${scheme}://${reachableName(address)}:${chosen}`)
    })
  })
}
