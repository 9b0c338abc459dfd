import { rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type FileLayer, nodeFiles, type OpenFile } from '../files.ts'

/** A change that the disk does not hold yet, and how to take it back. */
type Change =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer; readonly old: Buffer; readonly size: number }
  | { readonly kind: 'truncate'; readonly length: number; readonly old: Buffer }

type EntryChange =
  | { readonly kind: 'created'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'removed'; readonly path: string; readonly bytes: Buffer }

export interface ForgetfulFiles extends FileLayer {
  /**
   * Power is lost: whatever was not flushed is forgotten, and every call from now on fails. With `random` (0 to 1) each file keeps a
   * random part of its unflushed changes instead, the last of them torn, as a real disk may.
   */
  crash(random?: () => number): Promise<void>
  /** How often a file was flushed. */
  readonly datasyncs: number
}

/** What `ignore` takes out, to prove that a test notices. */
export interface Forgetting {
  readonly ignore?: 'datasync' | 'syncFolder'
}

/**
 * The real disk, except that nothing stays over a `crash` that was not flushed: bytes by `datasync`, names by `syncFolder` of
 * their folder. Since the page cache survives a killed process, only such a layer can show that an fsync is missing.
 */
export function forgetfulFiles(options: Forgetting = {}): ForgetfulFiles {
  return new Forgetful(options)
}

class Forgetful implements ForgetfulFiles {
  readonly #ignore: Forgetting['ignore']
  readonly #changes = new Map<string, Change[]>()
  readonly #entries = new Map<string, EntryChange[]>()
  readonly #open = new Set<OpenFile>()
  readonly #running = new Set<Promise<unknown>>()
  #crashed = false
  datasyncs = 0

  constructor(options: Forgetting) {
    this.#ignore = options.ignore
  }

  open(path: string, mode: 'create' | 'read' | 'write'): Promise<OpenFile> {
    return this.#run(async () => {
      const file = await nodeFiles.open(path, mode)
      if (mode === 'create') this.#entry({ kind: 'created', path })
      this.#open.add(file)
      return this.#wrap(path, file)
    })
  }

  makeFolder(path: string): Promise<boolean> {
    return this.#run(async () => {
      const made = await nodeFiles.makeFolder(path)
      if (made) this.#entry({ kind: 'folder', path })
      return made
    })
  }

  syncFolder(path: string): Promise<void> {
    return this.#run(async () => {
      const synced = this.#entries.get(path)?.length ?? 0
      await nodeFiles.syncFolder(path)
      if (this.#ignore !== 'syncFolder' && !this.#crashed) this.#entries.get(path)?.splice(0, synced)
    })
  }

  remove(path: string): Promise<void> {
    return this.#run(async () => {
      const bytes = await contentOf(path)
      await nodeFiles.remove(path)
      this.#entry({ kind: 'removed', path, bytes })
    })
  }

  #entry(change: EntryChange): void {
    const folder = dirname(change.path)
    this.#entries.set(folder, [...(this.#entries.get(folder) ?? []), change])
  }

  #wrap(path: string, file: OpenFile): OpenFile {
    const changes = this.#changes.get(path) ?? []
    this.#changes.set(path, changes)
    return {
      read: (into, position) => this.#run(() => file.read(into, position)),
      size: () => this.#run(() => file.size()),
      write: (buffers, position) =>
        this.#run(async () => {
          const size = await file.size()
          const bytes = Buffer.concat(buffers)
          const old = await readAt(file, position, Math.max(0, Math.min(size - position, bytes.length)))
          const written = await file.write(buffers, position)
          changes.push({ kind: 'write', at: position, bytes: bytes.subarray(0, written), old, size })
          return written
        }),
      truncate: (length) =>
        this.#run(async () => {
          const old = await readAt(file, length, Math.max(0, (await file.size()) - length))
          await file.truncate(length)
          changes.push({ kind: 'truncate', length, old })
        }),
      datasync: () =>
        this.#run(async () => {
          this.datasyncs++
          const synced = changes.length
          await file.datasync()
          if (this.#ignore !== 'datasync' && !this.#crashed) changes.splice(0, synced)
        }),
      close: () =>
        this.#run(async () => {
          this.#open.delete(file)
          await file.close()
        }),
    }
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#crashed) throw new Error('the power is off')
    const running = work()
    this.#running.add(running)
    try {
      const result = await running
      // What the disk did at the last moment, nobody heard of.
      if (this.#crashed) throw new Error('the power is off')
      return result
    } finally {
      this.#running.delete(running)
    }
  }

  async crash(random?: () => number): Promise<void> {
    this.#crashed = true
    await Promise.allSettled(this.#running)
    await Promise.all([...this.#open].map((file) => file.close()))
    this.#open.clear()
    for (const [path, changes] of this.#changes) await forget(path, changes, random)
    for (const entries of this.#entries.values()) for (const entry of entries.reverse()) await forgetEntry(entry)
  }
}

async function contentOf(path: string): Promise<Buffer> {
  const file = await nodeFiles.open(path, 'read')
  try {
    return await readAt(file, 0, await file.size())
  } finally {
    await file.close()
  }
}

async function readAt(file: OpenFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let at = 0
  while (at < length) at += (await file.read(bytes.subarray(at), position + at)) || length
  return bytes
}

async function openIfThere(path: string): Promise<OpenFile | undefined> {
  try {
    return await nodeFiles.open(path, 'write')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function forget(path: string, changes: readonly Change[], random?: () => number): Promise<void> {
  if (changes.length === 0) return
  const file = await openIfThere(path)
  if (!file) return
  const kept = random ? Math.floor(random() * (changes.length + 1)) : 0
  for (const change of changes.slice(kept).reverse()) {
    if (change.kind === 'truncate') {
      if (change.old.length > 0) await file.write([change.old], change.length)
    } else {
      await file.truncate(change.size)
      if (change.old.length > 0) await file.write([change.old], change.at)
    }
  }
  const torn = changes[kept]
  if (random && torn?.kind === 'write') {
    const bytes = Buffer.from(torn.bytes.subarray(0, Math.floor(random() * torn.bytes.length)))
    // The length may reach the disk before the data: then there are zeros.
    if (random() < 0.5) bytes.fill(0, Math.floor(random() * bytes.length))
    if (bytes.length > 0) await file.write([bytes], torn.at)
  }
  await file.close()
}

async function forgetEntry(entry: EntryChange): Promise<void> {
  if (entry.kind === 'removed') await writeFile(entry.path, entry.bytes)
  else await rm(entry.path, { recursive: true, force: true })
}
