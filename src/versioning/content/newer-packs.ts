import { open } from 'node:fs/promises'
import { type Database, errnoOf, NewerStore } from '../../kernel/index.ts'
import { packPath } from './packs.ts'
import { FILE_HEADER_BYTES, PACK_VERSION, packVersion } from './record.ts'

/** A newer release writes into the newest packs: with those that are open, so many are looked at, however many there are. */
const NEWEST = 16

/** Before anything is changed: what a newer release has written would be taken for damage. Throws NewerStore. */
export async function refuseNewerPacks(db: Pick<Database, 'all'>, folder: string): Promise<void> {
  const rows = await db.all<{ name: string }>(
    `SELECT name FROM pack WHERE state = 'open' OR id IN (SELECT id FROM pack ORDER BY id DESC LIMIT ${NEWEST})`,
  )
  for (const { name } of rows) {
    const version = packVersion(await beginningOf(packPath(folder, name)))
    if (version !== undefined && version > PACK_VERSION) throw new NewerStore('packs', version, PACK_VERSION)
  }
}

/** Empty if there is no such file: whoever needs it finds out. */
async function beginningOf(path: string): Promise<Buffer> {
  try {
    const file = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FILE_HEADER_BYTES), 0, FILE_HEADER_BYTES, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EIO') return Buffer.alloc(0)
    throw error
  }
}
