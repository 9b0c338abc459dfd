import { MAX_PATH_BYTES } from '../kernel/index.ts'
import { type GetRange, StoreRejected } from './object-store.ts'

/** Throws StoreRejected unless every store can hold the key: 1 to 1,024 bytes of well-formed UTF-8. */
export function checkKey(key: string): void {
  if (key.length === 0) throw new StoreRejected('a key must not be empty')
  if (!key.isWellFormed()) throw new StoreRejected('a key must be well-formed Unicode', { key: key.toWellFormed() })
  const bytes = Buffer.byteLength(key)
  if (bytes > MAX_PATH_BYTES) throw new StoreRejected(`a key has at most ${MAX_PATH_BYTES} bytes, this one ${bytes}`)
}

/** HTTP has no way to ask for nothing, and a wrong range is most likely a slip of the caller's. */
export function checkRange(range: GetRange): void {
  if (
    !(
      Number.isSafeInteger(range.start) &&
      Number.isSafeInteger(range.end) &&
      0 <= range.start &&
      range.start < range.end
    )
  ) {
    throw new StoreRejected(`the range from ${range.start} to before ${range.end} is empty`, { ...range })
  }
}

const MAX_LIST_PAGE = 1000

export function pageLimit(limit: number | undefined): number {
  return Math.max(1, Math.min(limit ?? MAX_LIST_PAGE, MAX_LIST_PAGE))
}

/** What a store lists that no listing of what was asked for can hold: whoever goes on from a key, or takes the folder off its beginning, must be able to rely on it. */
export function notAskedFor(service: string, name: string): StoreRejected {
  return new StoreRejected(
    `${service} lists ${shownKey(name)}, which it was not asked for: check the endpoint, and what stands between`,
  )
}

/** Throws StoreRejected unless the name, in the bucket, is below the prefix and comes after `after`. */
export function checkListed(name: string, { service, prefix, after }: ListedBy): void {
  const follows = after === '' || Buffer.compare(Buffer.from(after), Buffer.from(name)) < 0
  if (!name.startsWith(prefix) || !follows) throw notAskedFor(service, name)
}

interface ListedBy {
  readonly service: string
  readonly prefix: string
  /** Empty: from the beginning. */
  readonly after: string
}

/** A key that a store has named, fit for a message. */
export function shownKey(key: string): string {
  return JSON.stringify(
    key
      .slice(0, 200)
      .toWellFormed()
      .replace(/\p{Cc}/gu, '?'),
  )
}
