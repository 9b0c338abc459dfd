/**
 * Keys as file names, reversibly. An object store holds keys that a file system can't: `a` beside `a/b`, `a//b`, `..`, names
 * of 1,024 bytes, and on some systems `A` beside `a`. So every byte but a few plain ones is written `%XX`, an object's name ends
 * in `%o` (a folder's never does), an empty segment is the folder `%e`, and a long segment goes on in a folder `%+`. No encoded
 * name starts with a dot alone or holds a separator, so that no key leaves the root.
 */

/** File systems take names of 255 bytes; this leaves room for the endings. */
const PIECE_CHARS = 180
const OBJECT_ENDING = '%o'
const EMPTY_FOLDER = '%e'
const CONTINUED = '%+'

/** Names in the root that no key can have: `%t` and `%u` are not encodings of anything. */
export const TEMPORARY_FOLDER = '%tmp'
export const UPLOADS_FOLDER = '%uploads'

// Lower case only, since some file systems do not tell `A` from `a`.
const plainByte = /[a-z0-9._=@,-]/

const encodedBytes = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  return byte < 0x80 && plainByte.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`
})

/** One name of the path below the root. */
type FileName = string

/** The path of a key's object below the root, name by name. */
export function keyToPath(key: string): readonly FileName[] {
  const segments = key.split('/')
  const names: FileName[] = []
  segments.forEach((segment, index) => {
    const pieces = encodeSegment(segment)
    names.push(...pieces.slice(0, -1))
    const last = pieces.at(-1)!
    names.push(index === segments.length - 1 ? last + OBJECT_ENDING : last || EMPTY_FOLDER)
  })
  return names
}

/** All but the last piece are names of continued folders, whole; the last is still without its ending. */
function encodeSegment(segment: string): string[] {
  const bytes = Buffer.from(segment, 'utf8')
  // A segment of dots alone would be the folder itself, or the one above.
  const onlyDots = /^\.+$/.test(segment)
  const pieces: string[] = []
  let piece = ''
  bytes.forEach((byte, index) => {
    const token = onlyDots && index === 0 ? '%2e' : encodedBytes[byte]!
    if (piece.length + token.length > PIECE_CHARS) {
      pieces.push(piece + CONTINUED + token)
      piece = ''
    } else {
      piece += token
    }
  })
  pieces.push(piece)
  return pieces
}

/** What a name in a folder stands for: `bytes` to append to the key so far. Undefined for names that no key makes. */
export interface DecodedName {
  readonly kind: 'object' | 'folder'
  readonly bytes: Buffer
}

/**
 * Sorting a folder's names by `bytes` and walking them depth first gives keys in UTF-8 byte order: a folder's bytes end in
 * `/`, a continued folder's in the byte that it goes on with, and no two of them begin alike.
 */
export function decodeName(name: FileName): DecodedName | undefined {
  if (name.endsWith(OBJECT_ENDING)) return decoded('object', name.slice(0, -OBJECT_ENDING.length), '')
  if (name === EMPTY_FOLDER) return { kind: 'folder', bytes: Buffer.from('/') }
  const continued = name.indexOf(CONTINUED)
  if (continued >= 0) {
    return decoded('folder', name.slice(0, continued) + name.slice(continued + CONTINUED.length), '')
  }
  return decoded('folder', name, '/')
}

function decoded(kind: DecodedName['kind'], encoded: string, ending: '' | '/'): DecodedName | undefined {
  const bytes: number[] = []
  for (let at = 0; at < encoded.length; at++) {
    if (encoded[at] !== '%') {
      bytes.push(encoded.charCodeAt(at))
      continue
    }
    const hex = encoded.slice(at + 1, at + 3)
    if (!/^[0-9a-f]{2}$/.test(hex)) return undefined
    bytes.push(Number.parseInt(hex, 16))
    at += 2
  }
  return { kind, bytes: Buffer.concat([Buffer.from(bytes), Buffer.from(ending)]) }
}
