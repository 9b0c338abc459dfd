import { once } from 'node:events'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import {
  cloudMigrations,
  type GetRange,
  type ListOptions,
  type ObjectStore,
  openFileStore,
  openSecretStore,
  type PartUpload,
  type PutOptions,
  type UploadOptions,
} from '../../cloud/index.ts'
import { type Database, type Log, migrate, openSecretBox, silentLog, systemClock } from '../../kernel/index.ts'
import { parseBranchName, parsePath, parseRepoName, type TreeHash } from '../../versioning/index.ts'
import { openTestStore, type TestStore } from '../../versioning/testing/store.ts'
import { type Egress, type EgressOptions, type EgressStatus, egressMigrations, openEgress } from '../index.ts'
import type { PushSettings } from '../settings.ts'

export type Operation = 'put' | 'get' | 'head' | 'list' | 'delete' | 'copy' | 'createUpload' | 'putPart' | 'complete'

/** A real store that a test can watch and make fail: `before` is called with every operation, and may throw or wait. */
export class WatchedStore implements ObjectStore {
  readonly url: string
  readonly log: string[] = []
  readonly #inner: ObjectStore
  before: (operation: Operation, key: string) => void | Promise<void> = () => undefined

  constructor(inner: ObjectStore) {
    this.#inner = inner
    this.url = inner.url
  }

  async #enter(operation: Operation, key: string): Promise<void> {
    await this.before(operation, key)
    this.log.push(`${operation} ${key}`)
  }

  /** The keys that an operation was done with, in order of name. */
  keysOf(operation: Operation): string[] {
    return this.log
      .filter((line) => line.startsWith(`${operation} `))
      .map((line) => line.slice(operation.length + 1))
      .sort()
  }

  async put(key: string, body: Buffer | Readable, size: number, options?: PutOptions) {
    await this.#enter('put', key)
    return this.#inner.put(key, body, size, options)
  }
  async get(key: string, range?: GetRange) {
    await this.#enter('get', key)
    return this.#inner.get(key, range)
  }
  async head(key: string) {
    await this.#enter('head', key)
    return this.#inner.head(key)
  }
  async list(options?: ListOptions) {
    await this.#enter('list', '')
    return this.#inner.list(options)
  }
  async delete(keys: readonly string[]) {
    await this.before('delete', keys[0] ?? '')
    this.log.push(...keys.map((key) => `delete ${key}`))
    return this.#inner.delete(keys)
  }
  async copy(from: string, to: string) {
    await this.#enter('copy', from)
    return this.#inner.copy(from, to)
  }
  async createUpload(key: string, options: UploadOptions) {
    await this.#enter('createUpload', key)
    return this.#watched(key, await this.#inner.createUpload(key, options))
  }
  async resumeUpload(key: string, uploadId: string) {
    return this.#watched(key, await this.#inner.resumeUpload(key, uploadId))
  }
  /** The files at the target are shared by all that a test opens. */
  async close(): Promise<void> {}

  #watched(key: string, upload: PartUpload): PartUpload {
    return {
      uploadId: upload.uploadId,
      sequential: upload.sequential,
      putPart: async (number, body, signal) => {
        await this.#enter('putPart', `${key} ${number}`)
        return upload.putPart(number, body, signal)
      },
      listParts: () => upload.listParts(),
      complete: async (parts) => {
        await this.#enter('complete', key)
        return upload.complete(parts)
      },
      abort: () => upload.abort(),
    }
  }
}

export type Files = Readonly<Record<string, string | Buffer>>

export const ALLOWED = { allowTargets: ['127.0.0.1:*'], egressDefaultCredentials: false }

export interface HarnessOptions {
  readonly meter?: EgressOptions['meter']
  /** Targets are opened by the S3 driver, instead of the folder. */
  readonly realStores?: boolean
  readonly allowTargets?: readonly string[]
  readonly log?: Log
  /** Bytes per second over all pushes, and the time that they are measured by. */
  readonly bandwidth?: number
  readonly pace?: EgressOptions['pace']
  /** Pushed to instead of the folder; it is the caller's to close. */
  readonly target?: ObjectStore
}

/** A real store of versions, an egress over it, and a folder as the place where it pushes to. */
export class Harness {
  readonly #store: TestStore
  readonly #scratch: string
  readonly #options: HarnessOptions
  readonly target: WatchedStore
  egress!: Egress
  #life = { ended: false }
  readonly #slow: Egress[] = []
  #datum = 0
  #isClosed = false

  private constructor(store: TestStore, scratch: string, target: WatchedStore, options: HarnessOptions) {
    this.#store = store
    this.#scratch = scratch
    this.#options = options
    this.target = target
  }

  static async open(options: HarnessOptions = {}): Promise<Harness> {
    const store = await openTestStore()
    const scratch = await mkdtemp(join(store.folder, 'scratch-'))
    const target = options.target ?? (await openFileStore(join(store.folder, 'target'), { clock: systemClock }))
    const harness = new Harness(store, scratch, new WatchedStore(target), options)
    await harness.#openEgress()
    await (await harness.secrets()).create({ name: 'target', accessKeyId: 'id', secretAccessKey: 'secret' })
    return harness
  }

  get db() {
    return this.#store.db
  }

  get versioning() {
    return this.#store.versioning
  }

  async secrets() {
    return openSecretStore({ db: this.#store.db, box: await openSecretBox(this.#store.folder), clock: systemClock })
  }

  /** Called when a transaction of the egress has been committed, before it hears of that. */
  committed: () => void = () => undefined

  #watchedDb(): Database {
    return new Proxy(this.#store.db, {
      get: (db, name) => {
        const value: unknown = Reflect.get(db, name, db)
        if (typeof value !== 'function') return value
        if (name !== 'write') return value.bind(db)
        return async (...args: Parameters<Database['write']>) => {
          const result = await db.write(...args)
          this.committed()
          return result
        }
      },
    })
  }

  async #openEgress(): Promise<void> {
    await migrate(this.#store.db, [cloudMigrations, egressMigrations])
    const life = { ended: false }
    this.#life = life
    this.egress = openEgress({
      db: mortal(this.#watchedDb(), life),
      versioning: this.#store.versioning,
      secrets: await this.secrets(),
      clock: systemClock,
      log: this.#options.log ?? silentLog,
      ...(this.#options.meter ? { meter: this.#options.meter } : {}),
      retry: { attempts: 12, firstDelayMs: 1, maxDelayMs: 4 },
      ...(this.#options.realStores ? {} : { openStore: () => mortal<ObjectStore>(this.target, life) }),
      config: {
        ...ALLOWED,
        allowTargets: this.#options.allowTargets ?? ALLOWED.allowTargets,
        egressBandwidth: this.#options.bandwidth,
      },
      ...(this.#options.pace ? { pace: this.#options.pace } : {}),
    })
    await this.egress.start()
  }

  /** From here on, whatever the process does is without effect; what it has asked for before still happens. */
  cut(): void {
    this.#life.ended = true
  }

  /** Ends the process, as far as a test can, and another one takes over. */
  async crash(): Promise<void> {
    this.cut()
    // Only its timer ends; whatever it waits for never comes.
    void this.egress.stop()
    await this.#openEgress()
  }

  /** Another process takes over what this one, which is only slow, still works on. `ended`: when the slow one is done with it. */
  async takeOver(): Promise<{ ended: Promise<void> }> {
    const ended = new Promise<void>((resolve) => this.egress.onChange(resolve))
    this.#slow.push(this.egress)
    await this.#openEgress()
    return { ended }
  }

  /** Once; a second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.egress.stop()
    for (const slow of this.#slow) await slow.stop()
    await this.#store.close()
  }

  /** The tree of these files. */
  async tree(files: Files): Promise<TreeHash> {
    const datum = String(this.#datum++)
    const folder = join(this.#scratch, datum)
    await mkdir(folder)
    const list = []
    for (const [index, [path, bytes]] of Object.entries(files).entries()) {
      const diskPath = join(folder, String(index))
      await writeFile(diskPath, bytes)
      list.push({ path: parsePath(path), diskPath })
    }
    return (await this.versioning.derived.storeOutput(list, { job: 'j'.repeat(32), datum })).root
  }

  async request(
    job: string,
    root: TreeHash,
    more: { url?: string; pipeline?: string; settings?: PushSettings; commit?: string } = {},
  ): Promise<void> {
    const repo = parseRepoName(more.pipeline ?? 'edges')
    await this.versioning.createBranch({ repo, branch: parseBranchName('master') })
    await this.db.write((tx) =>
      this.egress.request(tx, {
        id: job,
        job,
        pipeline: repo,
        repo,
        commit: more.commit ?? 'c'.repeat(32),
        root,
        url: more.url ?? 's3://bucket',
        secret: 'target',
        settings: more.settings,
        provenance: [],
      }),
    )
  }

  /** Resolves when the push has ended, with its status. */
  async ended(job: string): Promise<EgressStatus> {
    for (;;) {
      const changed = new AbortController()
      const unlisten = this.egress.onChange(() => changed.abort())
      const status = await this.egress.status(job)
      if (status && (status.state === 'success' || status.state === 'failed')) {
        unlisten()
        return status
      }
      if (!changed.signal.aborted) await once(changed.signal, 'abort')
      unlisten()
    }
  }

  /** A commit that is there, of the repo that pushes are from where they name no other. */
  async commit(): Promise<string> {
    const at = { repo: parseRepoName('edges'), branch: parseBranchName('master') }
    await this.versioning.createBranch(at)
    await this.versioning.startCommit(at)
    return (await this.versioning.finishCommit(at)).id
  }

  async push(job: string, files: Files, more: Parameters<Harness['request']>[2] = {}): Promise<EgressStatus> {
    await this.request(job, await this.tree(files), more)
    return this.ended(job)
  }

  /** What is at the target now, without a trace in its log. */
  async held(store: ObjectStore = this.target): Promise<Record<string, string>> {
    const held: Record<string, string> = {}
    for (let after: string | undefined; ; ) {
      const page = await store.list(after === undefined ? {} : { after })
      for (const { key } of page.objects) held[key] = String(await buffer(await store.get(key)))
      if (page.next === undefined) break
      after = page.next
    }
    this.target.log.length = 0
    return held
  }
}

/** Resolves when it is called. */
export function signalled(): { promise: Promise<void>; call: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promise, call: () => resolve() }
}

/** Once its life has ended, nothing asked of it is done or ever answered. */
function mortal<Inner extends object>(inner: Inner, life: { readonly ended: boolean }): Inner {
  return new Proxy(inner, {
    get(_, name) {
      const value: unknown = Reflect.get(inner, name, inner)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => (life.ended ? new Promise(() => undefined) : value.apply(inner, args))
    },
  })
}
