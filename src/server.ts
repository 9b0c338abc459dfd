import { access, constants, mkdir, open, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { createApi } from './api/index.ts'
import { cloudMigrations, openSecretStore } from './cloud/index.ts'
import { egressMigrations, openEgress } from './egress/index.ts'
import { createGateway } from './gateway/index.ts'
import {
  type Clock,
  type Config,
  DomainError,
  errnoOf,
  errorMessage,
  InvalidConfig,
  type Log,
  loadRootKey,
  lockFolder,
  migrate,
  openSqlite,
  rootKeyRing,
  shutdownDigests,
} from './kernel/index.ts'
import { openPipelines, pipelineMigrations } from './pipelines/index.ts'
import { openVersioning, versioningMigrations } from './versioning/index.ts'

export interface RunningServer {
  readonly s3Url: string
  readonly apiUrl: string
  /** Where the root key is kept; undefined if the configuration set it. */
  readonly rootKeyFile: string | undefined
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
    opened.add(() => shutdownDigests())
    const rootKey = await loadRootKey(config)

    const databaseFile = join(dataFolder, 'meta.sqlite')
    const db = await openSqlite({ file: databaseFile, log, onFatal })
    opened.add(() => db.close())
    await migrate(db, [versioningMigrations, cloudMigrations, egressMigrations, pipelineMigrations])

    const versioning = await openVersioning({ db, databaseFile, dataFolder, batch: config.batch, clock, log, onFatal })
    opened.add(() => versioning.close())
    const secrets = await openSecretStore({ db, keyFolder: dataFolder, clock })
    const egress = openEgress({ db, versioning, secrets, config, clock, log })
    const scratchFolder = join(dataFolder, 'scratch')
    const pipelines = await openPipelines({ db, versioning, egress, config, clock, log, scratchFolder })

    // What was made by now must still be there after a loss of power.
    await syncFolder(dataFolder)
    await syncFolder(dirname(dataFolder))

    const keys = rootKeyRing(rootKey)
    const gateway = createGateway({ versioning, pipelines, keys, config, clock, log })
    opened.add(() => gateway.close())
    const api = createApi({ versioning, pipelines, secrets, keys, config, clock, log, version })
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
    return { s3Url, apiUrl, rootKeyFile: rootKey.file, close: () => opened.close() }
  } catch (error) {
    await opened.close()
    throw error
  }
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
      resolve(`http://${reachableName(address)}:${chosen}`)
    })
  })
}
