import { isUtf8 } from 'node:buffer'
import { InvalidArchive } from '../model/index.ts'

const NEWLINE = 0x0a
const EQUALS = 0x3d
const SPACE = 0x20

/** What an extended header says of the file behind it, as far as it is of use here. */
export interface PaxRecords {
  name?: string | undefined
  hasName?: boolean
  size?: number
  mtime?: number
  sparse?: boolean
}

/** The records of an extended header (POSIX.1-2001, pax): `length name=value\n`. Throws InvalidArchive. */
export function readPax(body: Buffer): PaxRecords {
  const found: PaxRecords = {}
  for (const [name, value] of records(body)) {
    if (name === 'path') {
      found.name = isUtf8(value) ? value.toString('utf8') : undefined
      found.hasName = true
    } else if (name === 'size') found.size = wholeNumber(value)
    else if (name === 'mtime') found.mtime = time(value)
    else if (name.startsWith('GNU.sparse.')) found.sparse = true
  }
  return found
}

/** Of all files behind it. What git and others say there is a comment; a name or size for all can't be meant. Throws InvalidArchive. */
export function refuseGlobalPax(body: Buffer): void {
  for (const [name] of records(body)) {
    if (name === 'path' || name === 'size' || name === 'linkpath' || name.startsWith('GNU.sparse.')) {
      throw new InvalidArchive(`the archive gives one ${name} to all of its files`, { field: name })
    }
  }
}

function* records(body: Buffer): Generator<[name: string, value: Buffer]> {
  let at = 0
  while (at < body.length) {
    // Some archivers fill up with zeros.
    if (body[at] === 0) return
    const space = body.indexOf(SPACE, at)
    const length = space < 0 ? Number.NaN : Number(body.toString('latin1', at, space))
    const end = at + length
    const equals = body.indexOf(EQUALS, space)
    const isWhole =
      Number.isInteger(length) && end <= body.length && equals > space && equals < end && body[end - 1] === NEWLINE
    if (!isWhole) throw new InvalidArchive('the archive is damaged: an extended header can not be read')
    yield [body.toString('utf8', space + 1, equals), body.subarray(equals + 1, end - 1)]
    at = end
  }
}

function wholeNumber(value: Buffer): number {
  const text = value.toString('latin1')
  const number = Number(text)
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(number)) return number
  throw new InvalidArchive('the archive is damaged: an extended header has a size that is none')
}

function time(value: Buffer): number {
  const text = value.toString('latin1')
  if (/^-?\d{1,12}(\.\d*)?$/.test(text)) return Math.max(0, Number(text))
  throw new InvalidArchive('the archive is damaged: an extended header has a time that is none')
}
