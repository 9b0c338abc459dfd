import type { RemovedBackups } from '../backups.ts'
import { BackupNotFound, BLOCKS, manifestKey, objectsOf, PACKS } from './backup-format.ts'
import type { BackupPlace } from './backup-place.ts'

/** Keys of one request to the store. */
const AT_ONCE = 1000

/**
 * The manifests go first: a crash leaves objects that no backup names, which the next removal takes, never a backup that lacks some.
 * Those that stay are read before anything goes.
 */
export async function removeBackups(
  place: BackupPlace,
  which: { readonly ids: readonly string[] } | { readonly keep: number },
): Promise<RemovedBackups> {
  const all = await place.backups()
  const going = new Set(
    'keep' in which
      ? all.slice(0, Math.max(0, all.length - which.keep)).map(({ id }) => id)
      : await Promise.all(which.ids.map(async (id) => (await place.find(id)).id)),
  )
  const staying = all.filter(({ id }) => !going.has(id))
  if (staying.length === 0 && all.length > 0) {
    throw new BackupNotFound('that would leave no backup at all: delete the folder itself if that is meant')
  }
  const needed = new Set<string>()
  for (const one of staying) for (const { key } of objectsOf(await place.manifest(one))) needed.add(key)
  const removed = all.filter(({ id }) => going.has(id))
  if (removed.length > 0) await place.delete(removed.map(({ id, sha256 }) => manifestKey(id, sha256)))
  let objects = 0
  let bytes = 0
  for (const prefix of [PACKS, BLOCKS]) {
    let keys: string[] = []
    for await (const { key, size } of place.list(prefix)) {
      if (needed.has(key)) continue
      keys.push(key)
      objects++
      bytes += size
      if (keys.length < AT_ONCE) continue
      await place.delete(keys)
      keys = []
    }
    if (keys.length > 0) await place.delete(keys)
  }
  return { backups: removed.map(({ id }) => id), objects, bytes }
}
