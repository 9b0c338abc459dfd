import { Corrupt, errnoOf, type Log } from '../../kernel/index.ts'
import { Lru } from '../lru.ts'
import type { ChunkIndex, Place } from './chunk-index.ts'
import { HASH_ASIDE_BYTES } from './content-limits.ts'
import type { OpenFile } from './files.ts'
import type { BufferPool } from './memory.ts'
import type { Packs } from './packs.ts'
import { ReadBatches } from './read-batches.ts'
import { sha256Of } from './sha256.ts'
import { Slots } from './slots.ts'

interface Handle {
  readonly file: Promise<OpenFile>
  users: number
  /** Out of the cache: the last user closes it. */
  gone: boolean
}

/** Bytes in memory that is used again once they are given back: exactly once, or never if somebody may still read them. */
export interface Lent {
  readonly bytes: Buffer
  giveBack(): void
}

/** Reads chunks and checks them: no byte leaves that was not hashed. */
export class ChunkReader {
  readonly #index: ChunkIndex
  readonly #packs: Packs
  readonly #log: Log
  readonly #handles: Lru<number, Handle>
  readonly #buffers: BufferPool
  readonly #slots: Slots
  readonly #batches = new ReadBatches()

  constructor(parts: {
    readonly index: ChunkIndex
    readonly packs: Packs
    readonly log: Log
    readonly limits: { readonly openPacks: number; readonly readsInFlight: number }
    readonly buffers: BufferPool
  }) {
    this.#index = parts.index
    this.#packs = parts.packs
    this.#log = parts.log
    this.#handles = new Lru(parts.limits.openPacks)
    this.#buffers = parts.buffers
    this.#slots = new Slots(parts.limits.readsInFlight)
  }

  /** A whole chunk. Throws Corrupt. */
  async read(sha256: Buffer): Promise<Buffer> {
    return own(await this.lend(sha256))
  }

  /** A whole chunk, large ones in memory that is used again. Throws Corrupt. */
  async lend(sha256: Buffer): Promise<Lent> {
    const place = await this.#index.find(sha256)
    if (!place) throw this.#damaged(sha256, 'it is in no pack')
    if (place.length < HASH_ASIDE_BYTES) {
      const batched = await this.#readBatched(sha256, place)
      return kept(batched ?? (await this.#readInto(Buffer.allocUnsafe(place.length), sha256, place)))
    }
    return this.#lendAside(sha256, place)
  }

  /** With others that are asked for at the same time; undefined where that is not to be. */
  async #readBatched(sha256: Buffer, { pack, offset, length }: Place): Promise<Buffer | undefined> {
    const handle = this.#handle(pack)
    handle.users++
    try {
      const { descriptor } = await handle.file
      if (descriptor === undefined) return undefined
      return await this.#batches.read({ fd: descriptor, offset, length, sha256 })
    } catch {
      // The pack could not be opened; whoever reads alone finds out what that means.
      return undefined
    } finally {
      handle.users--
      await this.#closeIfUnused(handle)
    }
  }

  /** Reads into shared memory, so that another thread checks it. */
  async #lendAside(sha256: Buffer, place: Place): Promise<Lent> {
    await this.#slots.enter()
    const shared = this.#buffers.take(place.length)
    const giveBack = () => this.#buffers.give(shared)
    try {
      return { bytes: await this.#readInto(shared.subarray(0, place.length), sha256, place), giveBack }
    } catch (error) {
      giveBack()
      throw error
    } finally {
      this.#slots.leave()
    }
  }

  async #readInto(bytes: Buffer, sha256: Buffer, place: Place, isMoved = false): Promise<Buffer> {
    let length: number
    try {
      length = await this.#readAt(place, bytes)
    } catch (error) {
      const code = errnoOf(error)
      if (code !== 'ENOENT' && code !== 'EIO') throw error
      const moved = code === 'ENOENT' && !isMoved && (await this.#index.findMoved(sha256, place))
      if (moved) return this.#readInto(bytes, sha256, moved, true)
      throw this.#damaged(sha256, code === 'ENOENT' ? 'its pack is missing' : 'the disk can not read it', place, error)
    }
    if (length < bytes.length) throw this.#damaged(sha256, 'its pack ends before it', place)
    if (!(await sha256Of(bytes)).equals(sha256)) throw this.#damaged(sha256, 'its bytes have changed', place)
    return bytes
  }

  async #readAt(place: Place, into: Buffer): Promise<number> {
    const handle = this.#handle(place.pack)
    handle.users++
    try {
      const file = await handle.file
      let length = 0
      while (length < into.length) {
        const more = await file.read(length === 0 ? into : into.subarray(length), place.offset + length)
        if (more === 0) break
        length += more
      }
      return length
    } finally {
      handle.users--
      await this.#closeIfUnused(handle)
    }
  }

  /** The pack is being removed: its file is to be let go. */
  forget(pack: number): void {
    const handle = this.#handles.delete(pack)
    if (handle) this.#retire(handle)
  }

  #handle(pack: number): Handle {
    const open = this.#handles.get(pack)
    if (open) return open
    const file = this.#packs.openForReading({ id: pack, name: this.#packs.nameOf(pack) ?? 'unknown' })
    const handle: Handle = { file, users: 0, gone: false }
    file.catch(() => {
      // The reader that asked has the error; the next one is to try again.
      if (this.#handles.get(pack) === handle) this.#handles.delete(pack)
    })
    for (const old of this.#handles.set(pack, handle)) this.#retire(old)
    return handle
  }

  #retire(handle: Handle): void {
    handle.gone = true
    this.#closeIfUnused(handle).catch((error: unknown) => this.#log.warn({ err: error }, 'could not close a pack'))
  }

  async #closeIfUnused(handle: Handle): Promise<void> {
    if (!handle.gone || handle.users > 0) return
    const file = await handle.file.catch(() => undefined)
    await file?.close()
  }

  #damaged(sha256: Buffer, reason: string, place?: Place, cause?: unknown): Corrupt {
    const data = {
      sha256: sha256.toString('hex'),
      ...(place && { pack: this.#packs.nameOf(place.pack), offset: place.offset, length: place.length }),
    }
    if (place) this.#index.markDamaged(sha256, place)
    this.#log.error({ ...data, err: cause }, `a chunk can not be served: ${reason}`)
    return new Corrupt(`chunk ${data.sha256}: ${reason}`, data, cause)
  }

  async close(): Promise<void> {
    await this.#batches.close()
    for (const handle of [...this.#handles.values()]) {
      handle.gone = true
      await this.#closeIfUnused(handle)
    }
  }
}

/** Bytes that nobody else uses. */
export function kept(bytes: Buffer): Lent {
  return { bytes, giveBack: () => {} }
}

/** A copy where the memory is used again. */
export function own({ bytes, giveBack }: Lent): Buffer {
  const copied = bytes.buffer instanceof SharedArrayBuffer ? Buffer.from(bytes) : bytes
  giveBack()
  return copied
}
