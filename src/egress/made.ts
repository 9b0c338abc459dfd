import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { Corrupt } from '../kernel/index.ts'
import type { CommitId, Content, ContentStore, FileEntry } from '../versioning/index.ts'
import { parsePath } from '../versioning/index.ts'
import type { SentContent } from './outgoing.ts'

/** A file that is in no commit: the push makes it. */
export interface Made {
  readonly entry: FileEntry
  /** Its bytes, made anew each time and the same each time. */
  readonly pieces: () => AsyncIterable<Buffer>
}

/** Goes through the pieces once, for what must be known of a file before it is sent. */
export async function make(path: string, contentType: string | undefined, pieces: Made['pieces']): Promise<Made> {
  const [sha256, md5] = [createHash('sha256'), createHash('md5')]
  let size = 0
  for await (const piece of pieces()) {
    sha256.update(piece)
    md5.update(piece)
    size += piece.length
  }
  const entry: FileEntry = {
    path: parsePath(path),
    size,
    etag: md5.digest('hex'),
    // As if it were one chunk: that says what its bytes are.
    content: { kind: 'chunk', sha256: sha256.digest() },
    modifiedMs: 0,
    attributes: { ...(contentType === undefined ? {} : { contentType }), metadata: {} },
    version: { commit: '0'.repeat(32) as CommitId, seq: 0 },
  }
  return { entry, pieces }
}

export function makeText(path: string, contentType: string | undefined, text: string): Promise<Made> {
  return make(path, contentType, () => each(text === '' ? [] : [Buffer.from(text)]))
}

export async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

/** Content of commits, and of what the push has made. */
export function withMade(content: SentContent, files: readonly Made[]): SentContent {
  const made = new Map<Content, Made['pieces']>(files.map(({ entry, pieces }) => [entry.content, pieces]))
  const read: ContentStore['read'] = (of, range) => {
    const pieces = made.get(of)
    return pieces ? Readable.from(within(pieces(), range), { objectMode: false }) : content.read(of, range)
  }
  return {
    read,
    lend: (of, range) => {
      const pieces = made.get(of)
      return pieces ? within(pieces(), range) : content.lend(of, range)
    },
    readBytes: (of, range) => (made.has(of) ? buffer(read(of, range)) : content.readBytes(of, range)),
  }
}

/** `end` is exclusive. */
async function* within(
  pieces: AsyncIterable<Buffer>,
  range: { readonly start: number; readonly end: number } | undefined,
): AsyncGenerator<Buffer> {
  let at = 0
  for await (const piece of pieces) {
    const slice = range ? piece.subarray(Math.max(0, range.start - at), Math.max(0, range.end - at)) : piece
    at += piece.length
    if (slice.length > 0) yield slice
    if (range && at >= range.end) return
  }
  if (range && at < range.end) throw new Corrupt('a file that was made twice is not the same')
}
