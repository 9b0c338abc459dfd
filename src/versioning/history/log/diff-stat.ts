import type { DiffStat } from '../../looking-back.ts'
import type { Difference } from '../../trees.ts'

type Counts = {
  -readonly [Name in 'added' | 'deleted' | 'changed']: { -readonly [Of in keyof DiffStat[Name]]: number }
}

/**
 * A diff in numbers: a line for each folder right below the prefix when it is over, then one for the files right in the prefix, and at
 * last one for all of it. Holds no more than a folder at a time.
 */
export async function* diffStat(differences: AsyncIterable<Difference>, prefix: string): AsyncGenerator<DiffStat> {
  const total = none()
  const files = none()
  let folder: { readonly path: string; readonly counts: Counts } | undefined
  for await (const difference of differences) {
    const { path } = difference
    const slash = path.indexOf('/', prefix.length)
    const name = slash < 0 ? undefined : path.slice(0, slash + 1)
    if (folder && folder.path !== name && name !== undefined) {
      yield { path: folder.path, ...folder.counts }
      folder = undefined
    }
    if (name !== undefined) folder ??= { path: name, counts: none() }
    add(name === undefined ? files : folder!.counts, difference)
    add(total, difference)
  }
  if (folder) yield { path: folder.path, ...folder.counts }
  if (files.added.files + files.deleted.files + files.changed.files > 0) yield { path: prefix, ...files }
  yield { path: null, ...total }
}

function none(): Counts {
  return {
    added: { files: 0, bytes: 0 },
    deleted: { files: 0, bytes: 0 },
    changed: { files: 0, bytesBefore: 0, bytesAfter: 0 },
  }
}

function add(counts: Counts, difference: Difference): void {
  counts[difference.kind].files++
  switch (difference.kind) {
    case 'added':
      counts.added.bytes += difference.after.size
      return
    case 'deleted':
      counts.deleted.bytes += difference.before.size
      return
    case 'changed':
      counts.changed.bytesBefore += difference.before.size
      counts.changed.bytesAfter += difference.after.size
  }
}
