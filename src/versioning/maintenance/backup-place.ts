import { isMissingObject, type ObjectStore, type RetryPolicy, retrying } from '../../cloud/index.ts'
import { Corrupt, DomainError } from '../../kernel/index.ts'
import {
  BACKUPS,
  BackupNotFound,
  BackupPlaceRefused,
  FORMAT,
  MAX_MANIFEST_BYTES,
  type Manifest,
  manifestKey,
  PLACE_KEY,
  parseManifest,
  readManifestKey,
  sha256Hex,
} from './backup-format.ts'

/** What is put is at most 16 MiB, and a nightly backup should outlive a short outage of the place. */
const RETRIES: RetryPolicy = { attempts: 6, firstDelayMs: 500, maxDelayMs: 15_000 }
const MAX_PLACE_BYTES = 64 * 1024

interface PlaceFile {
  readonly sluiceBackups: number
  readonly store: string
  /** Random: so that a store knows again where it made its backups. */
  readonly place: string
}

/** A folder or a part of an object store that holds backups of one store. */
export class BackupPlace {
  readonly url: string
  readonly #objects: ObjectStore
  readonly #signal: AbortSignal | undefined

  constructor(objects: ObjectStore, signal?: AbortSignal) {
    this.#objects = objects
    this.#signal = signal
    this.url = objects.url
  }

  /**
   * Whose backups they are; undefined where nothing is there yet. Throws BackupPlaceRefused for a place that holds something else, or
   * was written by a newer release.
   */
  async owner(): Promise<{ readonly store: string; readonly place: string } | undefined> {
    const file = await this.#placeFile()
    if (file) {
      if (file.sluiceBackups === FORMAT && typeof file.store === 'string') return file
      throw new BackupPlaceRefused(
        `${this.url} holds backups of format ${file.sluiceBackups}, this release knows ${FORMAT}: use the newer release`,
      )
    }
    const { objects } = await this.#retry(() => this.#objects.list({ limit: 1 }))
    if (objects.length === 0) return undefined
    throw new BackupPlaceRefused(
      `${this.url} holds something that is no backup (${objects[0]!.key}): take an empty folder, or one that sluice backup made`,
    )
  }

  async #placeFile(): Promise<PlaceFile | undefined> {
    try {
      return JSON.parse((await this.read(PLACE_KEY, MAX_PLACE_BYTES)).toString('utf8')) as PlaceFile
    } catch (error) {
      if (isMissingObject(error)) return undefined
      if (error instanceof SyntaxError) throw new Corrupt(`${PLACE_KEY} of ${this.url}`, {}, error)
      throw error
    }
  }

  /** Makes it the place of a store. */
  async claim(owner: { readonly store: string; readonly place: string }): Promise<void> {
    const file: PlaceFile = { sluiceBackups: FORMAT, ...owner }
    await this.put(PLACE_KEY, Buffer.from(`${JSON.stringify(file)}\n`))
  }

  /** Ids of the backups that are there, the oldest first, with the hashes of their manifests. */
  async backups(): Promise<readonly { readonly id: string; readonly sha256: string }[]> {
    const found: { id: string; sha256: string }[] = []
    for await (const { key } of this.list(BACKUPS)) {
      const named = readManifestKey(key)
      if (named) found.push(named)
    }
    return found.sort((a, b) => Number.parseInt(a.id, 10) - Number.parseInt(b.id, 10) || (a.id < b.id ? -1 : 1))
  }

  /** `id`: as `backups` says it, or its number; undefined: the newest. Throws BackupNotFound. */
  async find(id: string | undefined): Promise<{ readonly id: string; readonly sha256: string }> {
    const all = await this.backups()
    if (all.length === 0) throw new BackupNotFound(`there is no backup in ${this.url}`)
    if (id === undefined) return all.at(-1)!
    const number = /^\d{1,6}$/.test(id) ? Number(id) : undefined
    const found = all.filter((one) => one.id === id || Number.parseInt(one.id, 10) === number)
    if (found.length === 1) return found[0]!
    const there = all.slice(-5).map((one) => one.id)
    throw new BackupNotFound(
      found.length === 0
        ? `there is no backup ${id} in ${this.url}; the newest are ${there.join(', ')}`
        : `${id} can be any of ${found.map((one) => one.id).join(', ')}: say which`,
      { backup: id },
    )
  }

  /** Throws Corrupt. */
  async manifest({ id, sha256 }: { readonly id: string; readonly sha256: string }): Promise<Manifest> {
    try {
      return await parseManifest(await this.read(manifestKey(id, sha256), MAX_MANIFEST_BYTES), sha256)
    } catch (error) {
      if (error instanceof DomainError) throw error
      throw new Corrupt(`the list of backup ${id}`, { backup: id }, error)
    }
  }

  /** All objects below a prefix, page by page. */
  async *list(prefix: string): AsyncGenerator<{ readonly key: string; readonly size: number }> {
    for (let after: string | undefined; ; ) {
      const from = after === undefined ? {} : { after }
      const page = await this.#retry(() => this.#objects.list({ prefix, ...from }))
      yield* page.objects
      if (page.next === undefined) return
      after = page.next
    }
  }

  /** Whole and durable when it resolves. */
  async put(key: string, body: Buffer): Promise<void> {
    const signal = this.#signal ? { signal: this.#signal } : {}
    await this.#retry(() => this.#objects.put(key, body, body.length, signal))
  }

  /** Throws ObjectNotFound; Corrupt for what is longer than it can be. */
  async read(key: string, maxBytes: number): Promise<Buffer> {
    return this.#retry(async () => {
      const parts: Buffer[] = []
      let bytes = 0
      for await (const part of await this.#objects.get(key)) {
        bytes += (part as Buffer).length
        if (bytes > maxBytes) throw new Corrupt(`${key} of ${this.url} is longer than it can be`)
        parts.push(part as Buffer)
      }
      return Buffer.concat(parts, bytes)
    })
  }

  /** The object, if its bytes are those that its name says. Throws Corrupt. */
  async readWhole({ key, size, sha256 }: { key: string; size: number; sha256: string }): Promise<Buffer> {
    let bytes: Buffer
    try {
      bytes = await this.read(key, size)
    } catch (error) {
      if (isMissingObject(error)) throw new Corrupt(`${key} is missing in ${this.url}`, { object: key }, error)
      throw error
    }
    if (bytes.length !== size || (await sha256Hex(bytes)) !== sha256) {
      throw new Corrupt(`${key} of ${this.url} is not what was written`, { object: key })
    }
    return bytes
  }

  async delete(keys: readonly string[]): Promise<void> {
    const failed = await this.#objects.delete(keys)
    if (failed[0]) throw failed[0].error
  }

  close(): Promise<void> {
    return this.#objects.close()
  }

  #retry<Result>(work: () => Promise<Result>): Promise<Result> {
    return retrying(work, RETRIES, { random: Math.random, signal: this.#signal })
  }
}
