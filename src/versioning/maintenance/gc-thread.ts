import { Worker } from 'node:worker_threads'
import { Corrupt, StorageFull } from '../../kernel/index.ts'
import type { GcReply, GcRequest, GcWorkerData } from './gc-protocol.ts'

/** The thread that walks and sweeps; it has one collection, and ends with it. */
export class GcThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  readonly #onFatal: (error: Error) => void
  #onMarked: (nodes: number) => void = () => {}
  #nextId = 1
  #ended: Error | undefined

  constructor(data: GcWorkerData, onFatal: (error: Error) => void) {
    this.#onFatal = onFatal
    // The same file runs as .ts here and as .js from dist/.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./gc-worker.${extension}`, import.meta.url), { workerData: data, execArgv: [] })
    this.#worker.on('message', (reply: GcReply) => this.#answered(reply))
    this.#worker.on('error', (error) => this.#lost(error))
    this.#worker.on('exit', () => this.#lost(new Error('the thread of the collection ended')))
  }

  /** Called while it marks, with how many nodes it has been at. */
  set onMarked(listener: (nodes: number) => void) {
    this.#onMarked = listener
  }

  ask<Result>(request: GcRequest): Promise<Result> {
    if (this.#ended) return Promise.reject(this.#ended)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#worker.postMessage({ id, request })
    })
  }

  /** What it is at fails soon. */
  stop(): void {
    this.#worker.postMessage('stop')
  }

  /** Waits for what it is at. */
  async close(): Promise<void> {
    if (this.#ended) return
    const exited = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()))
    this.#worker.postMessage({ id: 0, request: undefined })
    await exited
  }

  #answered(reply: GcReply): void {
    if ('marked' in reply) {
      this.#onMarked(reply.marked)
      return
    }
    // Nobody asked: the disk failed under it.
    if (!reply.ok && reply.id === 0) this.#onFatal(revive(reply))
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    if (reply.ok) waiting?.resolve(reply.result)
    else waiting?.reject(revive(reply))
  }

  #lost(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

function revive(reply: Extract<GcReply, { ok: false }>): Error {
  switch (reply.code) {
    case 'StorageFull':
      return new StorageFull(new Error(reply.message))
    case 'Corrupt':
      return new Corrupt(reply.message.replace(/^stored data is damaged: /, ''), reply.data)
    default:
      return new Error(reply.message)
  }
}
