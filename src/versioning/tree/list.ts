import { MAX_LIST_KEYS } from '../../kernel/index.ts'
import type { FileEntry } from '../model/index.ts'
import type { ListQuery, ListResult } from '../trees.ts'
import { afterPrefix, startsWith } from './bytes.ts'
import { decodeLeaf } from './codec.ts'
import type { Cursor } from './cursor.ts'
import type { LeafItem } from './types.ts'

const ZERO = Buffer.alloc(1)
const EMPTY = Buffer.alloc(0)

/**
 * One page of a listing as S3 has it: keys with the prefix, in UTF-8 byte order; where the delimiter occurs after the prefix, all keys
 * up to and with it are one common prefix, shown if it is itself greater than `after`. Skips each group with one seek. A limit
 * of 0 gives an empty page without `next`. Moves the cursor.
 */
export async function listPage(cursor: Cursor, query: ListQuery): Promise<ListResult> {
  const prefix = Buffer.from(query.prefix ?? '')
  const delimiter = Buffer.from(query.delimiter ?? '')
  const after = query.after ? Buffer.from(query.after) : EMPTY
  const entries: FileEntry[] = []
  const prefixes: string[] = []
  const limit = Math.min(query.limit, MAX_LIST_KEYS)
  if (limit <= 0) return { entries, prefixes }

  // The least byte string after `after` is that with a zero byte behind it.
  const start = after.length === 0 ? EMPTY : Buffer.concat([after, ZERO])
  await cursor.seek(start.compare(prefix) > 0 ? start : prefix)
  let last: string | undefined
  let ended = false
  while (!ended) {
    const item = cursor.nextNow?.() ?? (await cursor.next())
    if (item === undefined || !startsWith(item.key, prefix)) break
    const group = groupOf(item, prefix, delimiter)
    const shown = group === undefined || group.compare(after) > 0
    if (shown && entries.length + prefixes.length >= limit) return { entries, prefixes, next: last! }
    if (group === undefined) {
      const entry = decodeLeaf(item.key, item.value)
      entries.push(entry)
      last = entry.path
      continue
    }
    if (shown) {
      last = group.toString('utf8')
      prefixes.push(last)
    }
    const beyond = afterPrefix(group)
    if (beyond === undefined) ended = true
    else await cursor.seek(beyond)
  }
  return { entries, prefixes }
}

function groupOf(item: LeafItem, prefix: Buffer, delimiter: Buffer): Buffer | undefined {
  if (delimiter.length === 0) return undefined
  const found = item.key.indexOf(delimiter, prefix.length)
  return found < 0 ? undefined : item.key.subarray(0, found + delimiter.length)
}
