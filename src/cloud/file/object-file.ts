import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Corrupt } from '../../kernel/index.ts'

/**
 * An object is one file, so that one rename makes content and description visible together: the content from offset 0, then
 * a footer: JSON, its length (4 bytes, big-endian), and eight bytes that say what this is.
 */
export interface ObjectFooter {
  readonly size: number
  readonly etag: string
  /** Hex, of the whole content; older footers have none. */
  readonly md5?: string
  readonly contentType?: string
  readonly metadata: Readonly<Record<string, string>>
}

const MAGIC = Buffer.from('sluiceO1')
const TAIL_BYTES = 4 + MAGIC.length
/** Metadata is 2 KiB (AWS); this is room for it and its JSON. */
const MAX_FOOTER_BYTES = 64 * 1024

export function encodeFooter(footer: ObjectFooter): Buffer {
  const json = Buffer.from(JSON.stringify(footer))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return Buffer.concat([json, length, MAGIC])
}

/** Opens an object's file and reads its footer. The caller closes the handle. Throws ENOENT and the like; Corrupt. */
export async function openObjectFile(
  path: string,
): Promise<{ handle: FileHandle; footer: ObjectFooter; modifiedMs: number }> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size, mtimeMs } = await handle.stat()
    return { handle, footer: await readFooter(handle, size), modifiedMs: Math.trunc(mtimeMs) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function readFooter(handle: FileHandle, fileBytes: number): Promise<ObjectFooter> {
  const tail = await readAt(handle, fileBytes - TAIL_BYTES, TAIL_BYTES)
  if (!tail.subarray(4).equals(MAGIC)) throw new Corrupt('an object file has no footer')
  const length = tail.readUInt32BE(0)
  if (length > MAX_FOOTER_BYTES) throw new Corrupt('an object file has a footer of impossible length')
  const json = await readAt(handle, fileBytes - TAIL_BYTES - length, length)
  const footer = parseFooter(json)
  if (footer.size !== fileBytes - TAIL_BYTES - length) throw new Corrupt('an object file has the wrong length')
  return footer
}

function parseFooter(json: Buffer): ObjectFooter {
  try {
    return JSON.parse(json.toString('utf8')) as ObjectFooter
  } catch (error) {
    throw new Corrupt('the footer of an object file is not JSON', {}, error)
  }
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  if (position < 0) throw new Corrupt('an object file is too short')
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, position)
  if (bytesRead !== length) throw new Corrupt('an object file is too short')
  return buffer
}
