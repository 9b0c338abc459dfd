import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../kernel/index.ts'
import { StoreRejected } from '../object-store.ts'
import { decodeName } from './keys.ts'

/** The keys below `root` in UTF-8 byte order, lazily; folders that can't hold a key asked for are not read. */
export async function* walkKeys(
  root: string,
  { prefix = '', after = '' }: { prefix?: string; after?: string },
): AsyncGenerator<string> {
  yield* walk(root, Buffer.alloc(0), { prefix: Buffer.from(prefix), after: Buffer.from(after) })
}

async function* walk(
  folder: string,
  keySoFar: Buffer,
  bounds: { prefix: Buffer; after: Buffer },
): AsyncGenerator<string> {
  for (const child of await children(folder, keySoFar)) {
    if (child.kind === 'object') {
      if (startsWith(child.key, bounds.prefix) && child.key.compare(bounds.after) > 0) yield child.key.toString('utf8')
    } else if (mayHold(child.key, bounds)) {
      yield* walk(join(folder, child.name), child.key, bounds)
    }
  }
}

async function children(folder: string, keySoFar: Buffer) {
  const names = await readdir(folder).catch((error: unknown) => {
    // Its last object was deleted while the walk was on its way.
    if (errnoOf(error) === 'ENOENT') return []
    if (errnoOf(error) === 'ENOTDIR') {
      throw new StoreRejected(
        `${folder} is a file that is no object of this store: take an empty folder, or one that Sluice made`,
      )
    }
    throw error
  })
  return names
    .flatMap((name) => {
      const decoded = decodeName(name)
      return decoded ? [{ name, kind: decoded.kind, key: Buffer.concat([keySoFar, decoded.bytes]) }] : []
    })
    .sort((a, b) => a.key.compare(b.key))
}

function mayHold(folderKey: Buffer, { prefix, after }: { prefix: Buffer; after: Buffer }): boolean {
  const onTheWay = startsWith(folderKey, prefix) || startsWith(prefix, folderKey)
  const wholeBefore = folderKey.compare(after) < 0 && !startsWith(after, folderKey)
  return onTheWay && !wholeBefore
}

function startsWith(bytes: Buffer, beginning: Buffer): boolean {
  return bytes.subarray(0, beginning.length).equals(beginning)
}
