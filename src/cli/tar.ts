import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { KIB } from '../kernel/index.ts'
import { CliError } from './errors.ts'

const BLOCK = 512
/** What the header's field for the name holds. */
const NAME_BYTES = 100
/** What eleven octal digits can say. */
const MAX_OCTAL = 8 ** 11 - 1
/** Up to this a file is read at once. */
const SMALL_BYTES = 64 * KIB
const READ_BYTES = 512 * KIB

/** A file on its way into an archive. */
export interface TarFile {
  readonly source: string
  /** Its name in the archive. */
  readonly name: string
  readonly size: number
  readonly mtimeMs: number
}

/** A tar archive (pax) of these files, as it is read. A file that changes its size meanwhile is an error: half of it would be sent. */
export async function* tarArchive(files: Iterable<TarFile>): AsyncGenerator<Buffer> {
  for (const file of files) {
    const { source, size } = file
    const header = headerOf(file)
    const padding = (BLOCK - (size % BLOCK)) % BLOCK
    if (size <= SMALL_BYTES) {
      const body = await readFile(source)
      if (body.length !== size) throw changed(source)
      yield Buffer.concat([header, body, Buffer.alloc(padding)])
      continue
    }
    yield header
    let sent = 0
    for await (const piece of createReadStream(source, { highWaterMark: READ_BYTES })) {
      sent += (piece as Buffer).length
      if (sent > size) throw changed(source)
      yield piece as Buffer
    }
    if (sent !== size) throw changed(source)
    yield Buffer.alloc(padding)
  }
  yield Buffer.alloc(2 * BLOCK)
}

function changed(source: string): CliError {
  return new CliError(`${source} was written to while it was read: import it again when nobody does`)
}

function headerOf({ name, size, mtimeMs }: TarFile): Buffer {
  const seconds = Math.max(0, Math.floor(mtimeMs / 1000))
  const records: Record<string, string> = {}
  if (Buffer.byteLength(name) > NAME_BYTES) records['path'] = name
  if (size > MAX_OCTAL) records['size'] = String(size)
  const main = block(name, '0', Math.min(size, MAX_OCTAL), seconds)
  if (Object.keys(records).length === 0) return main
  const body = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)))
  const padding = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)
  return Buffer.concat([block('pax', 'x', body.length, seconds), body, padding, main])
}

/** `length name=value\n`, where the length counts itself. */
function paxRecord(name: string, value: string): Buffer {
  const rest = Buffer.from(` ${name}=${value}\n`)
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

function block(name: string, type: string, size: number, seconds: number): Buffer {
  const bytes = Buffer.alloc(BLOCK)
  Buffer.from(name).copy(bytes, 0, 0, NAME_BYTES)
  bytes.write('0000644\x000000000\x000000000\0', 100, 'latin1')
  bytes.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  bytes.write(`${Math.min(seconds, MAX_OCTAL).toString(8).padStart(11, '0')}\0`, 136, 'latin1')
  bytes.write(type, 156, 'latin1')
  bytes.write('ustar\x0000', 257, 'latin1')
  bytes.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of bytes) sum += byte
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return bytes
}
