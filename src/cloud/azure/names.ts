import { decodeHeaderText, encodeHeaderText, headerWord } from '../header-text.ts'
import { checkKey } from '../key-rules.ts'
import { StoreRejected } from '../object-store.ts'

/** Azure: segments of a blob's name, as its slashes divide it. */
const MAX_SEGMENTS = 254

/**
 * Throws StoreRejected for a name that Azure can't hold as it is written, most of which it would silently take for another: it turns
 * backslashes into slashes, resolves `.` and `..`, and drops dots at the end of a segment (learn.microsoft.com: Naming and
 * referencing containers, blobs, and metadata). Accounts with a hierarchical namespace drop empty segments, too.
 */
export function checkBlobName(name: string): void {
  checkKey(name)
  const problem = problemOf(name)
  if (problem) throw new StoreRejected(`Azure can not hold ${JSON.stringify(name)}: ${problem}`, { key: name })
}

function problemOf(name: string): string | undefined {
  if (name.includes('\\')) return 'it takes a backslash for a slash'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/.test(name)) return 'it takes no control characters in names'
  const segments = name.split('/')
  if (segments.length > MAX_SEGMENTS) return `a name has at most ${MAX_SEGMENTS} segments there`
  if (segments.includes('')) return 'no segment of a name may be empty there, nor may it begin or end with a slash'
  if (segments.some((segment) => segment.endsWith('.'))) return 'no segment of a name may end with a dot there'
  return undefined
}

/**
 * Names of metadata have to be C# identifiers there. A hyphen becomes an underscore (`sluice-commit` is `sluice_commit`), anything
 * else that is no letter or digit two underscores and its byte in hex, so that reading gives back what was written.
 */
export function encodeMetadataName(name: string): string {
  const bytes = [...Buffer.from(name, 'utf8')]
  const isPlain = (at: number) => /^[A-Za-z0-9]$/.test(String.fromCharCode(bytes[at] ?? 0))
  const encoded = bytes.map((byte, at) => {
    const char = String.fromCharCode(byte)
    if (isPlain(at) && !(at === 0 && /[0-9]/.test(char))) return char
    // Before what begins with underscores itself, one more would be read as part of that.
    if (char === '-' && (isPlain(at + 1) || at + 1 === bytes.length)) return '_'
    return `__${byte.toString(16).padStart(2, '0')}`
  })
  return encoded.join('')
}

function decodeMetadataName(name: string): string {
  const bytes: Buffer[] = []
  for (const [text, hex] of name.matchAll(/__([0-9a-f]{2})|[\s\S]/g)) {
    bytes.push(hex === undefined ? Buffer.from(text === '_' ? '-' : text) : Buffer.from(hex, 'hex'))
  }
  return Buffer.concat(bytes).toString('utf8')
}

export function encodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(
    // An empty header is no header to some servers.
    Object.entries(metadata ?? {}).map(([name, value]) => [
      encodeMetadataName(name),
      value === '' ? headerWord(value) : encodeHeaderText(value),
    ]),
  )
}

export function decodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [decodeMetadataName(name), decodeHeaderText(value)]),
  )
}
