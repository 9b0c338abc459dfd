import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloudMigrations, createPlaces, openSecretStore } from '../../cloud/index.ts'
import { egressMigrations, egressReferences, openEgress } from '../../egress/index.ts'
import {
  accessMigrations,
  type Config,
  type Database,
  Metrics,
  migrate,
  openSecretBox,
  openSqlite,
  openUsers,
  readConfig,
  silentLog,
  systemClock,
} from '../../kernel/index.ts'
import {
  type EgressPort,
  openPipelines,
  type Pipelines,
  pipelineMigrations,
  pipelineReferences,
} from '../../pipelines/index.ts'
import { openVersioning, type Versioning, versioningMigrations } from '../../versioning/index.ts'
import { type Api, type ApiOptions, createApi } from '../server.ts'
import { listen, testKey } from './requests.ts'

/** The API over the real floors below it, on a data folder of its own. */
export interface Stack {
  readonly url: string
  readonly folder: string
  readonly versioning: Versioning
  readonly pipelines: Pipelines
  readonly api: Api
  /** What it was made of. */
  readonly options: ApiOptions
  close(): Promise<void>
}

/** No test here pushes anything anywhere. */
const noEgress: EgressPort = {
  check: async () => ({ url: 's3://bucket/dir', secret: 'pushing', notes: [] }),
  request: async () => {},
  status: async () => undefined,
  cancel: async () => {},
  requeue: async () => {},
  release: async () => {},
  onChange: () => () => {},
}

/** `idleMs`: after how long a batch seals by itself. */
export async function openStack(wanted: { idleMs?: number } = {}): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-api-'))
  const env = { SLUICE_DATA: folder, SLUICE_BATCH_IDLE_MS: String(wanted.idleMs ?? 100) }
  const config: Config = readConfig(env, { cpus: 2, folder })
  const log = silentLog
  const clock = systemClock
  const databaseFile = join(folder, 'sluice.db')
  const db: Database = await openSqlite({ file: databaseFile, log })
  await migrate(db, [accessMigrations, versioningMigrations, pipelineMigrations, cloudMigrations, egressMigrations])
  const onFatal = (error: Error) => {
    throw error
  }
  const { batch } = config
  const versioning = await openVersioning({
    db,
    databaseFile,
    dataFolder: folder,
    batch,
    clock,
    log,
    onFatal,
    holders: [pipelineReferences, egressReferences],
  })
  const box = await openSecretBox(folder)
  const secrets = openSecretStore({ db, box, clock })
  const users = await openUsers({ db, box, rootKey: testKey, roles: versioning.roles, clock })
  // What is asked for by hand waits: nothing runs it here.
  const egress = openEgress({ db, versioning, secrets, config, clock, log })
  const scratchFolder = join(folder, 'scratch')
  const pipelines = await openPipelines({ db, versioning, egress: noEgress, config, clock, log, scratchFolder })
  await pipelines.startEngine()
  const options: ApiOptions = {
    versioning,
    pipelines,
    egress,
    secrets,
    users,
    places: createPlaces({ dataFolder: folder, secrets, hostIdentity: false, allowTargets: [], clock }),
    keys: users,
    config,
    clock,
    log,
    version: '9.9.9',
    metrics: new Metrics(log),
  }
  const api = createApi(options)
  const url = await listen(api.server)
  await writeFile(join(folder, 'root-key.json'), JSON.stringify(testKey))
  await writeFile(join(folder, 'server.json'), JSON.stringify({ s3Url: 'http://127.0.0.1:9', apiUrl: url, pid: 0 }))
  return {
    url,
    folder,
    versioning,
    pipelines,
    api,
    options,
    close: async () => {
      await api.close()
      await pipelines.stopEngine()
      await versioning.close()
      await db.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
