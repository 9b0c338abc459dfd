import { Worker } from 'node:worker_threads'
import { HASH_ASIDE_BYTES } from './content-limits.ts'

/** What a batch may come to, and so the memory that a worker reads into. */
const ARENA_BYTES = 1024 * 1024
/** Reads in one batch at most: a long one makes the first in it wait for the last. */
const MAX_BATCH = 128
/** Fewer are not worth waking another thread for: the thread pool does as well. */
const MIN_BATCH = 4
/** A read that takes longer came from the disk and not from the system's cache. */
export const SLOW_READ_MS = 0.1
/** If more than this share of a batch did, several threads side by side are better. */
const MAX_SLOW_SHARE = 1 / 8
/** How many go to the thread pool after that before a batch is tried again. */
const DIRECT_AFTER_SLOW = 512

/** A stretch of an open file that should have this SHA-256. */
export interface WantedBytes {
  readonly fd: number
  readonly offset: number
  readonly length: number
  readonly sha256: Buffer
}

/** `at`: where the bytes are to go in the arena. */
export interface BatchRequest {
  readonly arena: SharedArrayBuffer
  readonly reads: readonly { fd: number; offset: number; length: number; at: number; sha256: Uint8Array }[]
}

export interface BatchReply {
  /** Which of the reads were whole and had the right hash. */
  readonly sound: readonly boolean[]
  /** How many took longer than `SLOW_READ_MS`. */
  readonly slow: number
}

interface Waiting {
  readonly wanted: WantedBytes
  readonly resolve: (bytes: Buffer | undefined) => void
}

/**
 * Reads small chunks many at a time in a thread of its own: a read out of the system's cache takes 2 µs, waking a thread for it and being
 * woken when it is done ten times that. It only ever helps: what it does not answer (few reads, a disk that is really asked, bytes that
 * are not as they should be, a thread that died) is `undefined`, and the caller reads by itself.
 */
export class ReadBatches {
  readonly #arena = new SharedArrayBuffer(ARENA_BYTES)
  #waiting: Waiting[] = []
  #running: readonly Waiting[] | undefined
  #worker: Worker | undefined
  #scheduled = false
  #direct = 0
  #closed = false

  /** A copy of the bytes, checked; undefined where the caller has to read them. The file must stay open until it resolves. */
  read(wanted: WantedBytes): Promise<Buffer | undefined> | undefined {
    if (this.#closed || wanted.length >= HASH_ASIDE_BYTES) return undefined
    if (this.#direct > 0) {
      this.#direct--
      return undefined
    }
    return new Promise((resolve) => {
      this.#waiting.push({ wanted, resolve })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#running) return
    this.#scheduled = true
    // After all sockets that have something were read: what they ask for goes together.
    setImmediate(() => {
      this.#scheduled = false
      this.#start()
    })
  }

  #start(): void {
    if (this.#waiting.length < MIN_BATCH || this.#closed) {
      this.#leaveAll()
      return
    }
    const batch: Waiting[] = []
    const reads: BatchRequest['reads'][number][] = []
    let at = 0
    for (const next of this.#waiting) {
      const { fd, offset, length, sha256 } = next.wanted
      if (batch.length === MAX_BATCH || at + length > ARENA_BYTES) break
      batch.push(next)
      reads.push({ fd, offset, length, at, sha256 })
      at += length
    }
    this.#waiting = this.#waiting.slice(batch.length)
    this.#running = batch
    this.#worker ??= this.#startWorker()
    this.#worker.ref()
    this.#worker.postMessage({ arena: this.#arena, reads } satisfies BatchRequest)
  }

  #take({ sound, slow }: BatchReply): void {
    const batch = this.#running ?? []
    this.#running = undefined
    this.#worker?.unref()
    if (slow > MAX_SLOW_SHARE * batch.length) this.#direct = DIRECT_AFTER_SLOW
    let at = 0
    for (const [index, { wanted, resolve }] of batch.entries()) {
      resolve(sound[index] ? Buffer.from(new Uint8Array(this.#arena, at, wanted.length)) : undefined)
      at += wanted.length
    }
    if (this.#direct > 0) this.#leaveAll()
    else if (this.#waiting.length > 0) this.#schedule()
  }

  #leaveAll(): void {
    const left = this.#waiting
    this.#waiting = []
    for (const { resolve } of left) resolve(undefined)
  }

  #startWorker(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    // Flags meant for the main script (`--input-type` with -e) would keep a worker from starting.
    const worker = new Worker(new URL(`./read-batches-worker.${extension}`, import.meta.url), { execArgv: [] })
    const ended = () => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      const batch = this.#running ?? []
      this.#running = undefined
      for (const { resolve } of batch) resolve(undefined)
      this.#leaveAll()
    }
    worker.on('message', (reply: BatchReply) => this.#take(reply))
    worker.on('error', ended)
    worker.on('exit', ended)
    return worker
  }

  /** What is asked for meanwhile is left to the caller. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#worker?.terminate()
  }
}
