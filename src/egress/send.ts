import { type ObjectInfo, StoreError } from '../cloud/index.ts'
import { mayHaveArrived } from './arrived.ts'
import { md5Of } from './fingerprint.ts'
import type { LedgerEntry } from './ledger.ts'
import { Limiter } from './limiter.ts'
import { LEDGER_BATCH, PARALLEL_FILES } from './limits.ts'
import type { SentContent, TransferParts } from './outgoing.ts'
import { inBatches, type Known, type Upload } from './plan.ts'
import { PushFailed, type PushWork } from './push-work.ts'
import { Recorder } from './recorder.ts'
import { transfer } from './transfer.ts'

/** Where the bytes of files come from. */
export interface Source {
  readonly content: SentContent
  /** Where the target itself may have the file already, below its folder. */
  readonly twinOf?: (path: string) => string
}

/** Puts files at the target, several at once. Resolves when all are there and in the ledger; the first failure ends all. */
export async function sendAll(work: PushWork, uploads: AsyncIterable<Upload>, source: Source): Promise<void> {
  const { db, ledger } = work.parts
  const recorder = new Recorder(db, ledger, work.renew)
  const slots = new Limiter(work.push.settings.parallel ?? PARALLEL_FILES)
  const running = new Set<Promise<void>>()
  const begin = async (send: () => Promise<LedgerEntry>) => {
    await slots.enter(1)
    if (work.signal.aborted) {
      slots.leave(1)
      return
    }
    const done: Promise<void> = send()
      .then((entry) => recorder.add(entry))
      .catch((error: unknown) => work.fail(error))
      .finally(() => {
        slots.leave(1)
        running.delete(done)
      })
    running.add(done)
  }
  try {
    for await (const steps of inBatches(uploads, LEDGER_BATCH)) {
      work.signal.throwIfAborted()
      const twins = await findTwins(work, steps, source)
      await intend(work, steps)
      const maybe = await mayBeThere(work, steps)
      for (const step of steps) {
        const { path } = step.entry
        await begin(() => send(work, step, { source, mayBeThere: maybe.has(path), twin: twins.get(path) }))
      }
    }
  } catch (error) {
    work.fail(error)
  }
  await Promise.all(running)
  // What has arrived is noted even when the push fails, so that the next one need not send it again.
  await recorder.flush()
  work.signal.throwIfAborted()
}

async function intend(work: PushWork, steps: readonly Upload[]): Promise<void> {
  const others = await work.write((tx) => work.parts.ledger.intend(tx, steps.map(expected)))
  const first = others[0]
  if (first) {
    throw new PushFailed(
      `${first.path} at ${work.push.url} was pushed from repo ${first.pipeline}: give each pipeline, and each repo that is pushed by hand, a target folder of its own`,
      { paths: others.slice(0, 10).map(({ path }) => path), pipeline: first.pipeline },
    )
  }
}

/** The files that a push which died had on its way, as far as they may have arrived. */
async function mayBeThere(work: PushWork, steps: readonly Upload[]): Promise<ReadonlySet<string>> {
  const underWay = steps.filter(({ known, fingerprint }) => known?.sent === false && known.fingerprint === fingerprint)
  return mayHaveArrived(
    underWay.map(({ entry }) => entry),
    (options) => work.again(() => work.parts.store.list(options)),
  )
}

/** By the path of the file: the same file in another folder of the target, as the ledger has it. */
async function findTwins(
  { parts }: PushWork,
  steps: readonly Upload[],
  { twinOf }: Source,
): Promise<ReadonlyMap<string, Known>> {
  if (!twinOf) return new Map()
  const known = await parts.ledger.find(steps.map(({ entry }) => twinOf(entry.path)))
  return new Map(
    steps.flatMap(({ entry, fingerprint }) => {
      const twin = known.get(twinOf(entry.path))
      return twin?.sent && twin.fingerprint === fingerprint ? [[entry.path, twin] as const] : []
    }),
  )
}

interface Ways {
  readonly source: Source
  readonly mayBeThere: boolean
  readonly twin: Known | undefined
}

async function send(work: PushWork, step: Upload, { source, mayBeThere, twin }: Ways): Promise<LedgerEntry> {
  const { entry, fingerprint } = step
  const { counts, push } = work
  const parts: TransferParts = {
    ...work.parts,
    push,
    content: source.content,
    renew: work.renew,
    onBytes: (bytes, before = false) => {
      counts.bytesDone += bytes
      if (before) counts.bytesBefore += bytes
      else work.parts.meter?.arrived(bytes)
    },
  }
  try {
    const copied = twin && (await copy(work, step, twin))
    if (copied) counts.bytesDone += entry.size
    const etag = copied?.etag ?? (await transfer({ entry, fingerprint, mayBeThere }, parts))
    counts.filesDone++
    return { ...expected(step), etag }
  } catch (error) {
    throw work.told(`${entry.path} could not be pushed to ${push.url}`, error)
  }
}

/**
 * Inside the store, without moving bytes: if what is there is what we have put there, and the copy is that. Undefined where the
 * file has to be sent after all.
 */
async function copy(work: PushWork, { entry }: Upload, twin: Known): Promise<ObjectInfo | undefined> {
  const { store, lane } = work.parts
  const md5 = md5Of(entry)
  try {
    const before = await work.again(() => lane.run(() => store.head(twin.path)))
    if (!before || before.size !== entry.size || before.etag !== twin.etag) return undefined
    const info = await work.again(() => lane.run(() => store.copy(twin.path, entry.path)))
    if (info.size !== entry.size) return undefined
    return md5 !== undefined && info.md5 !== undefined && md5 !== info.md5 ? undefined : info
  } catch (error) {
    // Gone meanwhile, or more than the store copies at once.
    if (error instanceof StoreError && !error.retryable) return undefined
    throw error
  }
}

function expected({ entry, fingerprint }: Upload): LedgerEntry {
  const md5 = md5Of(entry) ?? null
  return { path: entry.path, fingerprint, size: entry.size, etag: md5, md5 }
}
