import { type Answer, id, type Operation } from './machine.ts'
import type { Reference } from './reference.ts'
import { Refusal, sameBody, type Version } from './state.ts'

/** Folders that go elsewhere within a branch: one commit, in which each file is a new version, with its time. */
export function moveFiles(
  reference: Reference,
  { at, from, to, force }: Extract<Operation, { do: 'moveFiles' }>,
): Answer {
  if (to.startsWith(from)) throw new Refusal('InvalidInput')
  const line = reference.writable(at)
  const moving = [...line.view.values()].filter(({ path }) => path.startsWith(from))
  if (moving.length === 0) throw new Refusal('PathNotFound')
  const tree = new Map(line.view)
  for (const { path } of moving) tree.delete(path)
  const moved = moving.map(
    (version): Version => ({
      ...version,
      id: reference.state.newId('v'),
      path: to + version.path.slice(from.length),
    }),
  )
  if (!force && moved.some(({ path }) => tree.has(path))) throw new Refusal('FilesExist')
  for (const version of moved) tree.set(version.path, version)
  const commit = reference.landTree(line, tree, { message: `move ${from}` })
  return {
    moved: id(commit.id),
    files: moved.length,
    bytes: moved.reduce((sum, { body }) => sum + (body?.size ?? 0), 0),
  }
}

/** An archive is one commit; what is there already, and alike, stays as it is. */
export function importFiles(reference: Reference, { at, prefix, files }: Extract<Operation, { do: 'import' }>): Answer {
  const line = reference.writable(at)
  const tree = new Map(line.view)
  const counts = { added: 0, changed: 0, unchanged: 0 }
  for (const [name, body] of Object.entries(files)) {
    const path = prefix + name
    const version = { id: reference.state.newId('v'), path, body, at: reference.state.now }
    const there = tree.get(path)
    if (there && sameBody(there, version)) {
      counts.unchanged++
      continue
    }
    counts[there ? 'changed' : 'added']++
    tree.set(path, version)
  }
  const message = `import ${Object.keys(files).length} files`
  return { imported: id(reference.landTree(line, tree, { message }).id), ...counts }
}
