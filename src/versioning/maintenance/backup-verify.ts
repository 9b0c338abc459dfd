import { Corrupt } from '../../kernel/index.ts'
import type { VerifyBackupEvent, VerifyBackupOptions } from '../backups.ts'
import { BackupNotFound, BLOCKS, type Manifest, objectsOf, PACKS } from './backup-format.ts'
import type { BackupPlace } from './backup-place.ts'

/** Objects read at once. */
const AT_ONCE = 4

/** Reads what backups consist of and compares it with the hashes in the names; each object once, whichever backups share it. */
export async function* verifyBackups(
  place: BackupPlace,
  options: VerifyBackupOptions,
): AsyncGenerator<VerifyBackupEvent> {
  const listed = options.all === true ? await place.backups() : [await place.find(options.id)]
  if (listed.length === 0) throw new BackupNotFound(`there is no backup in ${place.url}`)
  const held = new Map<string, number>()
  for (const prefix of [PACKS, BLOCKS]) for await (const { key, size } of place.list(prefix)) held.set(key, size)
  let faults = 0
  let bytes = 0
  const seen = new Set<string>()
  for (const one of listed) {
    const fault = (object: string, why: string): VerifyBackupEvent => {
      faults++
      return { kind: 'fault', backup: one.id, object, why }
    }
    let manifest: Manifest
    try {
      manifest = await place.manifest(one)
    } catch (error) {
      if (!(error instanceof Corrupt)) throw error
      yield fault(one.id, error.message)
      continue
    }
    const objects = [...objectsOf(manifest)].filter(({ key }) => !seen.has(key))
    const bytesTotal = objects.reduce((sum, { size }) => sum + size, 0)
    let bytesDone = 0
    for (let at = 0; at < objects.length; at += AT_ONCE) {
      options.signal?.throwIfAborted()
      const some = objects.slice(at, at + AT_ONCE)
      const found = await Promise.all(some.map((object) => whatIsWrong(place, object, held, options.quick === true)))
      for (const [index, object] of some.entries()) {
        seen.add(object.key)
        bytesDone += object.size
        const why = found[index]
        if (why !== undefined) yield fault(object.key, why)
      }
      yield { kind: 'progress', bytesDone, bytesTotal }
    }
    bytes += bytesTotal
  }
  yield { kind: 'done', backups: listed.length, objects: seen.size, bytes, faults }
}

async function whatIsWrong(
  place: BackupPlace,
  object: { readonly key: string; readonly size: number; readonly sha256: string },
  held: ReadonlyMap<string, number>,
  quick: boolean,
): Promise<string | undefined> {
  const size = held.get(object.key)
  if (size === undefined) return 'it is missing'
  if (size !== object.size) return `it has ${size} bytes instead of ${object.size}`
  if (quick) return undefined
  try {
    await place.readWhole(object)
    return undefined
  } catch (error) {
    if (error instanceof Corrupt) return 'its bytes are not those that were written'
    throw error
  }
}
