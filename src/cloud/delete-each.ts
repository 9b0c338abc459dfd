import type { StoreError } from './object-store.ts'

const DELETES_AT_ONCE = 16

/**
 * For stores that delete one object a request. `deleteOne` answers what is the matter with that one; what it throws would be the
 * matter with the next as well: no more are begun then, and it is thrown when those under way have ended.
 */
export async function deleteEach(
  keys: readonly string[],
  deleteOne: (key: string) => Promise<StoreError | undefined>,
): Promise<readonly { key: string; error: StoreError }[]> {
  const failures: { key: string; error: StoreError }[] = []
  const waiting = keys.values()
  let broken: { readonly error: unknown } | undefined
  const work = async () => {
    for (const key of waiting) {
      if (broken) return
      const error = await deleteOne(key)
      if (error) failures.push({ key, error })
    }
  }
  const stopAll = (error: unknown) => {
    broken ??= { error }
  }
  await Promise.all(Array.from({ length: Math.min(DELETES_AT_ONCE, keys.length) }, () => work().catch(stopAll)))
  if (broken) throw broken.error
  return failures
}
