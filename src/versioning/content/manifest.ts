import { Corrupt } from '../../kernel/index.ts'
import type { StoredPart } from '../content-store.ts'
import type { Content } from '../model/index.ts'

/**
 * The format of manifests: what an object larger than one chunk is made of. It is stored in a pack like a chunk and named by its
 * SHA-256. Integers are unsigned LEB128.
 *
 *   version u8 = 1, kind u8 (0: pieces, 1: parts of a multipart upload), number of entries
 *   entry of pieces   size, content
 *   entry of parts    size, content, part number, MD5 (16 bytes), checksum as length and ASCII (0: none)
 *   content           u8: 0 inline (length, bytes), 1 chunk, 2 manifest (SHA-256, 32 bytes)
 *
 * A manifest may refer to manifests: a part to that of its own pieces, and a very long list of pieces to lists of pieces.
 */

export interface Piece {
  readonly size: number
  readonly content: Content
}

export interface PartPiece extends StoredPart {
  readonly content: Content
}

const VERSION = 1
const kindCodes = { pieces: 0, parts: 1 } as const
const contentCodes = { inline: 0, chunk: 1, manifest: 2 } as const

function leb(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

function contentBytes(content: Content): Buffer[] {
  const code = Buffer.from([contentCodes[content.kind]])
  if (content.kind === 'inline') return [code, leb(content.bytes.length), content.bytes]
  return [code, content.sha256]
}

function header(kind: keyof typeof kindCodes, count: number): Buffer[] {
  return [Buffer.from([VERSION, kindCodes[kind]]), leb(count)]
}

function encodePieces(pieces: readonly Piece[]): Buffer {
  const entries = pieces.flatMap(({ size, content }) => [leb(size), ...contentBytes(content)])
  return Buffer.concat([...header('pieces', pieces.length), ...entries])
}

/** The content that these pieces make: the only one, or a manifest, or a tree of them with at most `most` entries in each. */
export async function contentOf(
  pieces: readonly Piece[],
  most: number,
  put: (manifest: Buffer) => Promise<Content>,
): Promise<Content> {
  const [first] = pieces
  if (first && pieces.length === 1) return first.content
  if (pieces.length <= most) return put(encodePieces(pieces))
  const lists: Piece[] = []
  for (let at = 0; at < pieces.length; at += most) {
    const some = pieces.slice(at, at + most)
    const content = await put(encodePieces(some))
    lists.push({ size: some.reduce((sum, { size }) => sum + size, 0), content })
  }
  return contentOf(lists, most, put)
}

export function encodeParts(parts: readonly PartPiece[]): Buffer {
  const entries = parts.flatMap(({ size, content, number, md5, checksum = '' }) => {
    const md5Bytes = Buffer.from(md5, 'hex')
    if (md5Bytes.length !== 16) throw new TypeError(`part ${number} has no MD5`)
    return [
      leb(size),
      ...contentBytes(content),
      leb(number),
      md5Bytes,
      leb(checksum.length),
      Buffer.from(checksum, 'latin1'),
    ]
  })
  return Buffer.concat([...header('parts', parts.length), ...entries])
}

class Cursor {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.at = at
  }

  take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.at, this.at + length)
    if (taken.length < length) throw new Corrupt('a manifest ends early')
    this.at += length
    return taken
  }

  byte(): number {
    return this.take(1)[0] as number
  }

  leb(): number {
    let value = 0
    for (let factor = 1; factor <= 2 ** 49; factor *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    throw new Corrupt('a manifest has a number that is too large')
  }

  content(): Content {
    const code = this.byte()
    if (code === contentCodes.inline) return { kind: 'inline', bytes: this.take(this.leb()) }
    if (code === contentCodes.chunk) return { kind: 'chunk', sha256: this.take(32) }
    if (code === contentCodes.manifest) return { kind: 'manifest', sha256: this.take(32) }
    throw new Corrupt(`a manifest has content of kind ${code}, which this release does not know`)
  }

  piece(): Piece {
    return { size: this.leb(), content: this.content() }
  }

  part(): PartPiece {
    const part = { ...this.piece(), number: this.leb(), md5: this.take(16).toString('hex') }
    const checksum = this.take(this.leb()).toString('latin1')
    return checksum === '' ? part : { ...part, checksum }
  }
}

/** A manifest opened for reading: entries are decoded when they are asked for, so that one kept in memory is little more than its bytes. */
export class Manifest {
  readonly #bytes: Buffer
  readonly kind: 'pieces' | 'parts'
  /** Where entry i begins in the object; the last one is the object's size. */
  readonly #starts: Float64Array
  /** Where entry i begins in the manifest. */
  readonly #offsets: Uint32Array

  /** Throws Corrupt if it is not one, or of a format that this release does not know. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    const cursor = new Cursor(bytes)
    const version = cursor.byte()
    if (version !== VERSION) throw new Corrupt(`a manifest has format ${version}, this release knows ${VERSION}`)
    const kind = cursor.byte()
    if (kind !== kindCodes.pieces && kind !== kindCodes.parts)
      throw new Corrupt(`a manifest is of kind ${kind}, which this release does not know`)
    this.kind = kind === kindCodes.parts ? 'parts' : 'pieces'
    const count = cursor.leb()
    // The shortest entry has 3 bytes: a count that can't be right must not reserve memory.
    if (count > bytes.length / 3) throw new Corrupt('a manifest ends early')
    this.#starts = new Float64Array(count + 1)
    this.#offsets = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      this.#offsets[i] = cursor.at
      const { size } = this.kind === 'parts' ? cursor.part() : cursor.piece()
      this.#starts[i + 1] = (this.#starts[i] as number) + size
    }
  }

  get count(): number {
    return this.#offsets.length
  }

  get size(): number {
    return this.#starts[this.count] as number
  }

  /** What it takes in memory, about. */
  get memoryBytes(): number {
    return this.#bytes.length + this.#starts.byteLength + this.#offsets.byteLength
  }

  startOf(index: number): number {
    return this.#starts[index] as number
  }

  entry(index: number): Piece {
    return new Cursor(this.#bytes, this.#offsets[index]).piece()
  }

  parts(): readonly StoredPart[] | undefined {
    if (this.kind !== 'parts') return undefined
    return Array.from(this.#offsets, (offset) => {
      const { content: _, ...part } = new Cursor(this.#bytes, offset).part()
      return part
    })
  }

  /** The first entry that reaches beyond `position`; `count` if there is none. */
  indexAt(position: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#starts[middle + 1] as number) > position) high = middle
      else low = middle + 1
    }
    return low
  }
}
