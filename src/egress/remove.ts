import { DELETE_BATCH } from './limits.ts'
import { PIPELINE_FACT } from './metadata.ts'
import { inBatches, type Known } from './plan.ts'
import type { PushWork } from './push-work.ts'

/** Deletes what is ours at the target, and forgets it. */
export async function removeAll(work: PushWork, gone: AsyncIterable<Known>): Promise<void> {
  for await (const batch of inBatches(gone, DELETE_BATCH)) {
    work.signal.throwIfAborted()
    const ours: string[] = []
    for (const known of batch) if (await isOurs(work, known)) ours.push(known.path)
    await deleteAtTarget(work, ours)
    work.counts.filesDeleted += ours.length
    await work.write((tx) =>
      work.parts.ledger.forget(
        tx,
        batch.map(({ path }) => path),
      ),
    )
  }
}

/** Takes one away that will be put again: until then it counts as not sent. */
export async function withdraw(work: PushWork, known: Known): Promise<void> {
  const { path, fingerprint, size } = known
  await work.write((tx) =>
    work.parts.ledger.intend(tx, [{ path, fingerprint, size, etag: known.etag ?? null, md5: known.md5 ?? null }]),
  )
  if (await isOurs(work, known)) await deleteAtTarget(work, [path])
}

/** A key that was on its way when a push died may hold somebody else's object still: only one that looks like ours is deleted. */
async function isOurs(work: PushWork, known: Known): Promise<boolean> {
  if (known.owned) return true
  const info = await work.again(() => work.parts.store.head(known.path))
  if (!info) return false
  return info.metadata[PIPELINE_FACT] === work.push.pipeline || (known.etag !== undefined && info.etag === known.etag)
}

async function deleteAtTarget(work: PushWork, paths: readonly string[]): Promise<void> {
  let left = paths
  if (left.length === 0) return
  try {
    await work.again(async () => {
      const failures = await work.parts.store.delete(left)
      left = failures.map(({ key }) => key)
      // One that can't be helped decides; else one that can be tried again.
      const worst = failures.find(({ error }) => !error.retryable) ?? failures[0]
      if (worst) throw worst.error
    })
  } catch (error) {
    throw work.told(`${left[0]} could not be deleted from ${work.push.url}`, error)
  }
}
