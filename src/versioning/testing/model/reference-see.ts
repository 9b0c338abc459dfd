import { type Answer, id, type Question } from './machine.ts'
import { allVersions, versionAnswer } from './reference-versions.ts'
import { byUtf8, type Commit, type Ground, Refusal, sameBody, type Tree } from './state.ts'

/** What anybody who asks is told. */
export function observe(reference: Ground, question: Question): Answer {
  const { state } = reference
  switch (question.see) {
    case 'list':
      return list(reference.place(question.at).tree, question.prefix ?? '', question.delimiter)
    case 'file':
      return versionAnswer(reference.fileAt(question.at, question.path))
    case 'versions':
      return allVersions(reference.place(question.at), question.prefix).map(({ version, isLatest }) => ({
        ...versionAnswer(version),
        isLatest,
      }))
    case 'branches':
      if (state.branches.size === 0) throw new Refusal('RepoNotFound')
      return [...state.branches.values()]
        .sort((one, other) => byUtf8(one.name, other.name))
        .map((line) => ({
          name: line.name,
          head: line.tip === undefined ? null : id(line.tip),
          open: line.open === undefined ? null : id(line.open),
          protected: line.protected,
        }))
    case 'tags':
      if (state.branches.size === 0) throw new Refusal('RepoNotFound')
      return [...state.tags]
        .sort(([one], [other]) => byUtf8(one, other))
        .map(([name, commit]) => ({ name, commit: id(commit) }))
    case 'log':
      return log(reference, question.branch).map(commitAnswer)
    case 'commit': {
      const commit = state.commits.get(question.commit)
      if (!commit) throw new Refusal('CommitNotFound')
      return commitAnswer(commit)
    }
    case 'ancestor': {
      let commit = question.of
      for (let step = 0; step < question.steps; step++) {
        const parent = state.commits.get(commit)?.parents[0]
        if (parent === undefined) throw new Refusal('CommitNotFound')
        commit = parent
      }
      return id(commit)
    }
    case 'diff':
      return diff(
        question.before === 'empty' ? new Map() : reference.finished(question.before).tree,
        reference.finished(question.after).tree,
        question.prefix ?? '',
      )
    case 'transactions':
      return (
        [...state.transactions.values()]
          // Also those of a branch of this name that is gone: they can be aborted.
          .filter(({ onto }) => onto!.name === question.branch)
          .map((line) => ({ commit: id(line.open!), base: line.base === undefined ? null : id(line.base) }))
      )
    case 'mergeBase':
      return ancestorsInCommon(reference, question.one, question.other)
  }
}

/** What is open, and the first parents behind it; of a branch that is gone what was made on it. */
function log({ state }: Ground, name: string): Commit[] {
  const line = state.branches.get(name)
  if (!line) return [...state.commits.values()].filter((commit) => commit.line.name === name).toReversed()
  const found: Commit[] = []
  for (const start of [line.open, line.tip]) {
    let commit = start === undefined ? undefined : state.commits.get(start)
    while (commit) {
      found.push(commit)
      const [parent] = commit.parents
      commit = parent === undefined ? undefined : state.commits.get(parent)
    }
  }
  return found
}

function commitAnswer(commit: Commit): Answer {
  const files = [...commit.tree.values()]
  return {
    commit: id(commit.id),
    branch: commit.line.name,
    finished: commit.finished,
    pinned: commit.pinned,
    parents: commit.parents.map(id),
    message: commit.message,
    authors: [...commit.authors].sort(),
    ordinal: commit.ordinal,
    ...(commit.finished
      ? { files: files.length, bytes: files.reduce((sum, { body }) => sum + (body?.size ?? 0), 0) }
      : {}),
  }
}

function list(tree: Tree, prefix: string, delimiter: string | undefined): Answer {
  const entries: Answer[] = []
  const prefixes = new Set<string>()
  for (const path of [...tree.keys()].sort(byUtf8)) {
    if (!path.startsWith(prefix)) continue
    const end = delimiter === undefined ? -1 : path.indexOf(delimiter, prefix.length)
    if (end >= 0) prefixes.add(path.slice(0, end + delimiter!.length))
    else entries.push({ path, version: id(tree.get(path)!.id) })
  }
  return { entries, prefixes: [...prefixes] }
}

function diff(before: Tree, after: Tree, prefix: string): Answer {
  const paths = [...new Set([...before.keys(), ...after.keys()])].filter((path) => path.startsWith(prefix))
  return paths.sort(byUtf8).flatMap((path) => {
    const [one, other] = [before.get(path), after.get(path)]
    if (sameBody(one, other)) return []
    return [{ path, kind: one ? (other ? 'changed' : 'deleted') : 'added' }]
  })
}

/** A commit and everything before it, over all parents. */
export function ancestors(reference: Ground, of: string): Set<string> {
  const found = new Set<string>()
  const waiting = [of]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(next)) continue
    found.add(next)
    waiting.push(...(reference.state.commits.get(next)?.parents ?? []))
  }
  return found
}

/** The best ones of one commit and of any of the others: those that no other of them has among its ancestors. */
export function ancestorsInCommon(reference: Ground, one: string, ...others: string[]): string[] {
  const mine = ancestors(reference, one)
  const theirs = others.flatMap((other) => [...ancestors(reference, other)])
  const common = [...new Set(theirs)].filter((commit) => mine.has(commit))
  return common
    .filter((commit) => !common.some((later) => later !== commit && ancestors(reference, later).has(commit)))
    .sort()
}
