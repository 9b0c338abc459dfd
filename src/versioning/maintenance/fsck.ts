import { Worker } from 'node:worker_threads'
import { Corrupt, type Database } from '../../kernel/index.ts'
import type { FsckEvent, FsckOptions } from '../fsck.ts'
import { type Mending, writeMended } from './fsck-repair.ts'
import type { FsckRequest } from './fsck-run.ts'
import type { FsckMessage } from './fsck-worker.ts'
import type { ReferenceSource } from './references.ts'

/** Of the time of one core, where the caller says nothing: the rest is for requests. */
const DEFAULT_SHARE = 0.5
/** Events that wait for their consumer; beyond, progress is left out. Faults are bounded by the worker. */
const MAX_WAITING = 64
/** Manifests are nested at most so deep, and each round brings back a level. */
const MAX_ROUNDS = 10

/** What is checked. */
export interface FsckPlace {
  readonly db: Database
  readonly databaseFile: string
  readonly nodesFile: string
  readonly packsFolder: string
  /** What floors above hold. */
  readonly sources: readonly ReferenceSource[]
  /** Nobody else has the store open. */
  readonly strays?: boolean
}

/**
 * Checks a store in a thread of its own. What was mended is checked again, which may show more to mend (a list of pieces, and then the
 * pieces): the verdict is of what is there at last.
 */
export async function* runFsck(place: FsckPlace, options: FsckOptions = {}): AsyncGenerator<FsckEvent> {
  let mended = 0
  for (let round = 1; ; round++) {
    const repair = options.repair === true && round < MAX_ROUNDS
    let mending: Mending | undefined
    let verdict: FsckEvent | undefined
    const onMending = (found: Mending) => {
      mending = found
    }
    for await (const event of checkOnce(place, { ...options, repair }, onMending)) {
      if (event.kind === 'verdict') verdict = event
      else yield event
    }
    if (verdict?.kind !== 'verdict') throw new Error('the check ended without a verdict')
    const said = mending === undefined ? [] : await write(place, mending)
    for (const message of said) yield { kind: 'mended', message }
    const fresh = verdict.mended + said.length
    mended += fresh
    if (fresh > 0 && verdict.verdict !== 'stopped') continue
    yield { ...verdict, mended }
    return
  }
}

function write(place: FsckPlace, mending: Mending): Promise<readonly string[]> {
  return place.db.write((tx) => writeMended(tx, mending, place.strays === true))
}

async function* checkOnce(
  place: FsckPlace,
  options: FsckOptions,
  onMending: (mending: Mending) => void,
): AsyncGenerator<FsckEvent> {
  const report = await place.db.checkPages()
  const request: FsckRequest = {
    databaseFile: place.databaseFile,
    nodesFile: place.nodesFile,
    packsFolder: place.packsFolder,
    salt: await saltOf(place.db),
    deep: options.deep === true,
    repair: options.repair === true,
    strays: place.strays === true,
    share: options.share ?? DEFAULT_SHARE,
    sources: place.sources,
    damagedPages: report?.damaged.map(({ page }) => page) ?? [],
    pages: report?.checked ?? 0,
  }
  const waiting: FsckEvent[] = []
  const ended = Promise.withResolvers<void>()
  let wake = Promise.withResolvers<void>()
  let over = false
  const worker = startWorker(request)
  worker.on('message', (message: FsckMessage) => {
    if (message.kind === 'mending') return onMending(message.mending)
    if (message.kind === 'event') {
      if (message.event.kind !== 'progress' || waiting.length < MAX_WAITING) waiting.push(message.event)
    } else if (message.error === undefined) ended.resolve()
    else ended.reject(new Error(`the check could not go on: ${message.error}`))
    wake.resolve()
  })
  worker.on('error', ended.reject)
  worker.on('exit', () => ended.reject(new Error('the thread of the check ended')))
  const stop = () => worker.postMessage('stop')
  options.signal?.addEventListener('abort', stop)
  if (options.signal?.aborted) stop()
  const finished = ended.promise.finally(() => {
    over = true
    wake.resolve()
  })
  finished.catch(() => {
    // It is thrown below, where it is awaited.
  })
  try {
    while (!over || waiting.length > 0) {
      yield* waiting.splice(0)
      if (over) continue
      await wake.promise
      wake = Promise.withResolvers()
    }
    await finished
  } finally {
    options.signal?.removeEventListener('abort', stop)
    if (!over) {
      stop()
      // Its databases are closed before the caller goes on; what it failed with nobody is left to be told.
      await finished.catch(() => {})
    }
  }
}

function startWorker(request: FsckRequest): Worker {
  // The same file runs as .ts here and as .js from dist/.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new Worker(new URL(`./fsck-worker.${extension}`, import.meta.url), { workerData: request, execArgv: [] })
}

/** Without it nothing can be said of the shape of trees. */
async function saltOf(db: Database): Promise<Buffer> {
  const row = await db.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'salt'")
  if (!row) throw new Corrupt('the salt of the trees is not in the metadata database')
  return row.value
}
