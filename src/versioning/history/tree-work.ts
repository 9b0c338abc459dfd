import { Worker } from 'node:worker_threads'
import { Corrupt, StorageFull } from '../../kernel/index.ts'
import type { MergeConflictPath, MergeResolution } from '../merges.ts'
import type { Path, TreeHash } from '../model/index.ts'
import type { LeafItem, MergeOptions, MergeSlice } from '../tree/index.ts'
import type { PlaceReply, PlaceRequest } from './files/place-slice.ts'
import type { WithoutReply, WithoutRequest } from './files/without-slice.ts'

/** Three times what one half of its space for young objects has: left to itself, V8 takes more the more memory a machine has. */
const MAX_YOUNG_MIB = 48

/** What the worker is started with. */
export interface TreeWorkerData {
  readonly databaseFile: string
  readonly nodesFile: string
  readonly salt: Uint8Array
}

/** A leaf as it crosses to the worker. */
export interface WireItem {
  readonly key: Uint8Array
  readonly size: number
  readonly value: Uint8Array
}

export type TreeRequest =
  | {
      readonly kind: 'fold'
      readonly branchId: number
      readonly base: TreeHash
      readonly fromSeq: number
      readonly toSeq: number
    }
  | { readonly kind: 'build'; readonly items: readonly WireItem[] }
  | {
      readonly kind: 'union'
      readonly commit: string
      readonly outputs: readonly TreeHash[]
      readonly base: TreeHash
    }
  | MergeRequest
  | MergeLaterRequest
  | PlaceRequest
  | WithoutRequest

/** A slice of a three-way merge: differences from `from` on, at most `limit`. `ours` of the next slice is the root of this one. */
export interface MergeRequest {
  readonly kind: 'merge'
  readonly base: TreeHash
  readonly ours: TreeHash
  readonly theirs: TreeHash
  readonly from: Uint8Array | undefined
  readonly limit: number
  readonly mode: MergeOptions['mode']
  readonly resolve: MergeResolution
  /** Conflicts that are named. */
  readonly maxConflicts: number
}

export interface MergeReply extends Pick<MergeSlice, 'root' | 'files' | 'bytes' | 'counts' | 'conflictsTotal'> {
  readonly conflicts: readonly MergeConflictPath[]
  /** Of the decisions by path and by folder: those that conflicts were decided by. */
  readonly decided: { readonly paths: readonly string[]; readonly folders: readonly string[] }
  readonly next: Uint8Array | undefined
}

/** What came onto the branch since a merge was computed: the changes in (fromSeq, toSeq], merged into its tree path by path. */
export interface MergeLaterRequest extends Pick<MergeRequest, 'base' | 'theirs' | 'resolve' | 'maxConflicts'> {
  readonly kind: 'mergeLater'
  readonly branchId: number
  readonly merged: TreeHash
  readonly fromSeq: number
  readonly toSeq: number
}

export interface MergeLaterReply
  extends Pick<MergeReply, 'root' | 'files' | 'bytes' | 'conflicts' | 'conflictsTotal'> {}

export interface FoldResult {
  readonly root: TreeHash
  /** What the fold added, markers not counted. */
  readonly files: number
  readonly bytes: number
}

export type UnionResult =
  | { readonly kind: 'ok'; readonly root: TreeHash; readonly files: number; readonly sizeBytes: number }
  | {
      readonly kind: 'conflict'
      readonly paths: readonly { readonly path: Path; readonly datums: readonly [string, string] }[]
    }

export type TreeReply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | { readonly id: number; readonly ok: false; readonly code: string; readonly message: string }

/** All trees are written in one worker thread, so that folding a large commit never holds up a request. */
export interface TreeWork {
  /** Applies the changes of a branch in (fromSeq, toSeq] to a tree. All nodes are durable when it resolves. */
  fold(request: Omit<Extract<TreeRequest, { kind: 'fold' }>, 'kind'>): Promise<FoldResult>
  /** Items in any order; keys unique. */
  build(items: readonly LeafItem[]): Promise<TreeHash>
  union(request: Omit<Extract<TreeRequest, { kind: 'union' }>, 'kind'>): Promise<UnionResult>
  merge(request: Omit<MergeRequest, 'kind'>): Promise<MergeReply>
  mergeLater(request: Omit<MergeLaterRequest, 'kind'>): Promise<MergeLaterReply>
  place(request: Omit<PlaceRequest, 'kind'>): Promise<PlaceReply>
  without(request: Omit<WithoutRequest, 'kind'>): Promise<WithoutReply>
  close(): Promise<void>
}

/** Starts the worker at once: the first commit should not wait for a thread to load its code. */
export function startTreeWork(data: TreeWorkerData, onFatal: (error: Error) => void): TreeWork {
  const client = new TreeWorkClient(data, onFatal)
  client.start()
  return client
}

class TreeWorkClient implements TreeWork {
  readonly #data: TreeWorkerData
  readonly #onFatal: (error: Error) => void
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #worker: Worker | undefined
  #nextId = 1
  #closed = false

  constructor(data: TreeWorkerData, onFatal: (error: Error) => void) {
    this.#data = data
    this.#onFatal = onFatal
  }

  fold(request: Omit<Extract<TreeRequest, { kind: 'fold' }>, 'kind'>): Promise<FoldResult> {
    return this.#ask({ kind: 'fold', ...request }) as Promise<FoldResult>
  }

  build(items: readonly LeafItem[]): Promise<TreeHash> {
    return this.#ask({ kind: 'build', items }) as Promise<TreeHash>
  }

  union(request: Omit<Extract<TreeRequest, { kind: 'union' }>, 'kind'>): Promise<UnionResult> {
    return this.#ask({ kind: 'union', ...request }) as Promise<UnionResult>
  }

  merge(request: Omit<MergeRequest, 'kind'>): Promise<MergeReply> {
    return this.#ask({ kind: 'merge', ...request }) as Promise<MergeReply>
  }

  mergeLater(request: Omit<MergeLaterRequest, 'kind'>): Promise<MergeLaterReply> {
    return this.#ask({ kind: 'mergeLater', ...request }) as Promise<MergeLaterReply>
  }

  place(request: Omit<PlaceRequest, 'kind'>): Promise<PlaceReply> {
    return this.#ask({ ...request, kind: 'place' }) as Promise<PlaceReply>
  }

  without(request: Omit<WithoutRequest, 'kind'>): Promise<WithoutReply> {
    return this.#ask({ kind: 'without', ...request }) as Promise<WithoutReply>
  }

  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    if (!worker) return
    // Its database must be closed by itself: a worker torn down in the middle of that takes the process with it.
    worker.ref()
    worker.postMessage({ id: 0, request: undefined })
    await new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  }

  #ask(request: TreeRequest): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Error('the tree worker is closed'))
    this.start()
    const worker = this.#worker!
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage({ id, request })
    })
  }

  start(): void {
    this.#worker ??= this.#start()
  }

  #start(): Worker {
    // The same file runs as .ts here and as .js from dist/.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./tree-worker.${extension}`, import.meta.url), {
      workerData: this.#data,
      resourceLimits: { maxYoungGenerationSizeMb: MAX_YOUNG_MIB },
      // Flags that this process was started with may make no sense for a module.
      execArgv: [],
    })
    worker.on('message', (reply: TreeReply) => {
      // Nobody asked: the disk failed under the worker.
      if (!reply.ok && reply.id === 0) return this.#onFatal(revive(reply))
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      if (this.#waiting.size === 0) worker.unref()
      if (reply.ok) waiting?.resolve(reply.result)
      else waiting?.reject(revive(reply))
    })
    worker.on('error', (error) => this.#lost(worker, error))
    worker.on('exit', () => this.#lost(worker, new Error('the tree worker ended')))
    worker.unref()
    return worker
  }

  // Whoever waits is told; the next request starts a new worker. Folding is idempotent, so it is simply asked again.
  #lost(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

function revive(reply: { code: string; message: string }): Error {
  switch (reply.code) {
    case 'StorageFull':
      return new StorageFull(new Error(reply.message))
    case 'Corrupt':
      return new Corrupt(reply.message)
    default:
      return new Error(reply.message)
  }
}
