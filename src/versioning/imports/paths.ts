import { type DomainError, errorMessage, GIB, MAX_PUT_BYTES } from '../../kernel/index.ts'
import { CONTROL_FOLDER, InvalidPath, isControlPath, type Path, parsePath, scratchArea } from '../model/index.ts'
import type { TarMember } from './tar.ts'

/** What becomes of a member of an archive. */
export type Placed =
  | { readonly kind: 'file'; readonly path: Path }
  /** There are no folders in a repo: they are there as soon as something is in them. */
  | { readonly kind: 'folder' }
  /** It can't be a file of a repo; `why` follows its name in a sentence. */
  | { readonly kind: 'refused'; readonly why: string }

const kinds: Readonly<Record<string, string>> = {
  '1': 'is a hard link',
  '2': 'is a symbolic link',
  '3': 'is a device',
  '4': 'is a device',
  '6': 'is a pipe',
}

/** Where a member goes below `prefix`. */
export function placeMember(member: TarMember, prefix: string): Placed {
  const { type, name } = member
  if (type === '5') return { kind: 'folder' }
  if (type !== '0' && type !== '7') {
    return { kind: 'refused', why: `${kinds[type] ?? `is of the unknown type ${JSON.stringify(type)}`}, and no file` }
  }
  if (member.sparse) return { kind: 'refused', why: 'is stored with holes: make the archive without --sparse' }
  if (name === undefined) return { kind: 'refused', why: 'has a name that is not UTF-8' }
  if (member.size > MAX_PUT_BYTES) {
    return { kind: 'refused', why: `has more than ${MAX_PUT_BYTES / GIB} GiB: upload it in parts (aws s3 cp does it)` }
  }
  const plain = withoutDots(name)
  // Archives of before 1988 say so that it is a folder.
  if ((plain === '' || plain.endsWith('/')) && member.size === 0) return { kind: 'folder' }
  if (plain.endsWith('/')) return { kind: 'refused', why: 'has the name of a folder, and content' }
  const why = strayReason(plain)
  return why === undefined ? placePath(prefix + plain) : { kind: 'refused', why }
}

/** Keys of S3 may be so, but who unpacks a tree with them writes elsewhere. */
function strayReason(path: string): string | undefined {
  if (path.startsWith('/')) return 'has an absolute path'
  if (path.split('/').some((part) => part === '..' || part === '.')) return 'has `.` or `..` in its path'
  return undefined
}

function placePath(text: string): Placed {
  if (isControlPath(text)) return { kind: 'refused', why: `would be in the control folder ${CONTROL_FOLDER}` }
  if (scratchArea(text) !== undefined)
    return { kind: 'refused', why: 'would be in a scratch folder, which no commit holds' }
  try {
    return { kind: 'file', path: parsePath(text) }
  } catch (error) {
    if (error instanceof InvalidPath) return { kind: 'refused', why: `can't be a key: ${errorMessage(error)}` }
    throw error
  }
}

/** `tar -c .` begins every name with `./`, and `tar -c .//a` with `.//`: neither is the root of the file system. */
function withoutDots(name: string): string {
  let start = 0
  while (name.startsWith('./', start)) {
    start += 2
    while (name[start] === '/') start++
  }
  return name.slice(start) === '.' ? '' : name.slice(start)
}

/** The prefix that an import is asked to put before every name. Throws InvalidPath, or what a write to it would. */
export function checkPrefix(prefix: string): DomainError | undefined {
  if (prefix === '') return undefined
  const stray = strayReason(`${prefix}x`)
  const placed: Placed = stray === undefined ? placePath(`${prefix}x`) : { kind: 'refused', why: stray }
  return placed.kind === 'refused' ? new InvalidPath(`the prefix ${JSON.stringify(prefix)} ${placed.why}`) : undefined
}
