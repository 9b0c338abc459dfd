import { type Answer, id } from './machine.ts'
import { byUtf8, type Commit, etagOf, type Ground, type LineState, type Version } from './state.ts'

type Shown = Pick<Commit, 'tree' | 'history'>

/** Those that were not deleted by their id, the newest first. */
function listed({ history }: Shown, path: string): Version[] {
  return history.versions.filter((version) => version.path === path && !history.hidden.has(version.id)).toReversed()
}

function latest(shown: Shown, path: string): Version | undefined {
  const current = shown.tree.get(path)
  if (current) return current
  const newest = listed(shown, path)[0]
  return newest?.body === null ? newest : undefined
}

/** What S3 lists: by path, the latest first, then the newest first. */
export function allVersions(shown: Shown, prefix = ''): { version: Version; isLatest: boolean }[] {
  const paths = new Set([...shown.tree.keys(), ...shown.history.versions.map(({ path }) => path)])
  return [...paths]
    .filter((path) => path.startsWith(prefix))
    .sort(byUtf8)
    .flatMap((path) => {
      const first = latest(shown, path)
      const rest = listed(shown, path).filter((version) => version.id !== first?.id)
      return [...(first ? [first] : []), ...rest].map((version) => ({ version, isLatest: version === first }))
    })
}

/** All are gone before it is decided what comes back; that comes back under its own id. */
export function deleteVersions(reference: Ground, line: LineState, path: string, names: readonly string[]): Answer {
  const shown = { tree: line.view, history: line.history }
  const first = latest(shown, path)
  const hidden = new Set(line.history.hidden)
  const there = allVersions(shown).filter(({ version }) => version.path === path)
  let latestIsGone = false
  const answers = names.map((name): Answer => {
    const found = there.find(({ version }) => version.id === name)?.version
    if (!found) return 'absent'
    hidden.add(found.id)
    line.hidden.add(found.id)
    latestIsGone ||= found.id === first?.id
    return { marker: found.body === null, wasLatest: found.id === first?.id }
  })
  line.history = { ...line.history, hidden }
  if (latestIsGone) {
    reference.openBatch(line)
    line.writes.push({ path, conditional: false })
    const back = listed({ tree: line.view, history: line.history }, path)[0]
    if (back && back.body !== null) line.view.set(path, back)
    else line.view.delete(path)
  }
  return answers.map((answer) => (typeof answer === 'string' ? answer : { ...(answer as object) }))
}

/** How a version is shown to whoever asks. */
export function versionAnswer(version: Version): { readonly [key: string]: Answer } {
  return {
    path: version.path,
    version: id(version.id),
    at: version.body === null ? null : version.at,
    body: version.body === null ? null : `${version.body.text}:${version.body.size}`,
    etag: version.body === null ? null : etagOf(version.body),
  }
}
