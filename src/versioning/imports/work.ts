import { Worker } from 'node:worker_threads'
import { Corrupt, MIB, StorageFull } from '../../kernel/index.ts'
import type { TreeHash } from '../model/index.ts'

/** What the worker may be behind by: more of it waits in the archive. */
const MAX_QUEUED_BYTES = 8 * MIB

/** What the worker is started with. */
export interface ImportWorkerData {
  readonly nodesFile: string
  readonly salt: Uint8Array
  /** Of this import alone. */
  readonly folder: string
}

export type ImportRequest =
  | { readonly kind: 'add'; readonly records: Uint8Array }
  | { readonly kind: 'build'; readonly base: TreeHash }
  | { readonly kind: 'close' }

export type ImportReply =
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'progress'; readonly entries: number }
  | { readonly kind: 'built'; readonly built: BuiltTree }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

/** What came of the entries on top of the base. */
export interface BuiltTree {
  readonly root: TreeHash
  /** Files and bytes that are more than in the base; markers not counted. */
  readonly files: number
  readonly bytes: number
  readonly added: number
  readonly changed: number
  /** There already, with the same content and attributes: these are as they were. */
  readonly unchanged: number
}

/** Sorts the entries of one import and makes their tree, in a thread of its own: neither requests nor other commits wait for it. */
export class ImportWork {
  readonly #data: ImportWorkerData
  readonly #onFatal: (error: Error) => void
  #worker: Worker | undefined
  #queued = 0
  #error: Error | undefined
  #built: BuiltTree | undefined
  #ended = false
  #wake: (() => void) | undefined
  /** Entries that are in the tree so far. */
  placed = 0

  constructor(data: ImportWorkerData, onFatal: (error: Error) => void) {
    this.#data = data
    this.#onFatal = onFatal
  }

  /** Whole records; the memory is the worker's from here on. Waits while the worker is behind. Throws StorageFull. */
  async add(records: Buffer<ArrayBuffer>): Promise<void> {
    while (this.#queued > MAX_QUEUED_BYTES && !this.#error) await this.#news()
    this.#check()
    this.#queued += records.length
    this.#ask({ kind: 'add', records }, [records.buffer])
  }

  /** Puts what was added on top of a tree; `onProgress` is called now and then. All nodes are durable when it ends. Throws StorageFull, Corrupt. */
  async *build(base: TreeHash): AsyncGenerator<number, BuiltTree> {
    this.#ask({ kind: 'build', base })
    let said = 0
    for (;;) {
      this.#check()
      if (this.#built) return this.#built
      if (this.placed > said) {
        said = this.placed
        yield said
      } else await this.#news()
    }
  }

  /** Removes its files, at whatever point it is. */
  async close(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined || this.#ended) return
    const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    // Its databases must be closed by itself: a worker torn down in the middle of that takes the process with it.
    this.#ask({ kind: 'close' })
    await exited
  }

  // An archive that is refused at its beginning needs no thread.
  #ask(request: ImportRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker ??= this.#start()
    this.#worker.postMessage(request, transfer)
  }

  #start(): Worker {
    // The same file runs as .ts here and as .js from dist/.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: this.#data,
      execArgv: [],
    })
    worker.on('message', (reply: ImportReply) => this.#take(reply))
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => {
      this.#ended = true
      this.#fail(new Error('the worker of an import ended'))
    })
    return worker
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #take(reply: ImportReply): void {
    if (reply.kind === 'taken') this.#queued -= reply.bytes
    else if (reply.kind === 'progress') this.placed = reply.entries
    else if (reply.kind === 'built') this.#built = reply.built
    else if (reply.code === 'Fatal') this.#onFatal(revive(reply))
    else this.#error ??= revive(reply)
    this.#wake?.()
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#wake?.()
  }

  #check(): void {
    if (this.#error) throw this.#error
  }
}

function revive({ code, message }: { readonly code: string; readonly message: string }): Error {
  if (code === 'StorageFull') return new StorageFull(new Error(message))
  return code === 'Corrupt' ? new Corrupt(message) : new Error(message)
}
