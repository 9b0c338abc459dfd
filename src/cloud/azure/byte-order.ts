import type { BlobItem } from '@azure/storage-blob'
import { StoreRejected } from '../object-store.ts'

/** A name of a listing; without a blob it is a folder, and ends in a slash. */
export interface Listed {
  readonly name: string
  readonly blob: BlobItem | undefined
}

/** Names that wait until none can come before them any more: some 20 MB. */
const MAX_WAITING = 50_000

/**
 * Puts names that come in the order of their UTF-16 units, or folders in that of their names without the slash, into UTF-8 byte order.
 * Only what has a character beyond U+FFFF can be overtaken in the one case (by U+E000 to U+FFFF), and only a folder in the
 * other (`a/` by `a-b`), so that only those wait. Names that come in byte order already leave in it.
 */
export async function* byteOrdered(source: AsyncIterable<Listed>): AsyncGenerator<Listed> {
  const waiting = new Waiting()
  for await (const item of source) {
    const astral = /[\ud800-\udfff]/.test(item.name)
    // What has waited and is less than this can't be overtaken by anything that is still to come.
    if (!astral) yield* waiting.takeBefore(item)
    if (!astral && item.blob) yield item
    else waiting.add(item)
  }
  yield* waiting.takeBefore(undefined)
}

class Waiting {
  readonly #items: { readonly bytes: Buffer; readonly item: Listed }[] = []

  add(item: Listed): void {
    if (this.#items.length >= MAX_WAITING) {
      throw new StoreRejected(
        `more than ${MAX_WAITING} names with characters beyond U+FFFF, or folders side by side, can't be put in order: list a folder below`,
      )
    }
    const bytes = Buffer.from(item.name)
    this.#items.splice(this.#countBefore(bytes), 0, { bytes, item })
  }

  /** Undefined: all of them. */
  takeBefore(item: Listed | undefined): readonly Listed[] {
    if (this.#items.length === 0) return []
    const count = item ? this.#countBefore(Buffer.from(item.name)) : this.#items.length
    return this.#items.splice(0, count).map((taken) => taken.item)
  }

  #countBefore(bytes: Buffer): number {
    let low = 0
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (Buffer.compare(this.#items[middle]!.bytes, bytes) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
