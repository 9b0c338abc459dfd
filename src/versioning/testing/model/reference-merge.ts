import { type Answer, id, type Operation, type Side } from './machine.ts'
import type { Extension, Reference } from './reference.ts'
import { importFiles, moveFiles } from './reference-brought.ts'
import { ancestors, ancestorsInCommon } from './reference-see.ts'
import { byUtf8, type Commit, type LineState, Refusal, sameBody, type Tree, type Version } from './state.ts'

/** What the common ancestors do not agree on: it is like nothing else. */
const UNDECIDED = 'undecided'
type Base = ReadonlyMap<string, Version | typeof UNDECIDED>

const emptyTree: Tree = new Map()

/** Merging, and taking commits back. */
export const graphOfReference: Extension = (reference, operation) => {
  if (operation.do === 'merge') return merge(reference, operation)
  if (operation.do === 'revert') return revert(reference, operation)
  if (operation.do === 'moveBranch') return moveBranch(reference, operation)
  if (operation.do === 'protect') return protect(reference, operation)
  if (operation.do === 'moveFiles') return moveFiles(reference, operation)
  if (operation.do === 'import') return importFiles(reference, operation)
  if (operation.do === 'createTag') return createTag(reference, operation)
  if (operation.do === 'deleteTag') {
    if (reference.state.branches.size === 0) throw new Refusal('RepoNotFound')
    if (!reference.state.tags.delete(operation.tag)) throw new Refusal('TagNotFound')
    return 'deleted'
  }
  return undefined
}

/** What is written from here on follows that commit; what it held is the commit that is left. */
function moveBranch(reference: Reference, { branch, to }: Extract<Operation, { do: 'moveBranch' }>): Answer {
  const line = reference.writable({ branch })
  const target = reference.finished(to)
  if (line.open === undefined && line.tip === to) return { kind: 'unchanged', left: null }
  reference.seal(line)
  const left = line.tip
  line.tip = to
  line.view = new Map(target.tree)
  line.history = { ...target.history, hidden: new Set([...target.history.hidden, ...line.hidden]) }
  line.writes = []
  line.moves++
  return { kind: 'moved', left: left === undefined ? null : id(left) }
}

function protect(reference: Reference, { branch, on }: Extract<Operation, { do: 'protect' }>): Answer {
  const line = reference.line({ branch })
  if (on) reference.seal(line)
  line.protected = on
  return on
}

/** Tags and branches share their names, and a tag never moves. */
function createTag(reference: Reference, { tag, commit }: Extract<Operation, { do: 'createTag' }>): Answer {
  const { state } = reference
  const known = state.tags.get(tag)
  if (known !== undefined && known !== commit) throw new Refusal('TagExists')
  reference.finished(commit)
  if (known !== undefined) return 'existing'
  if (state.branches.has(tag)) throw new Refusal('BranchExists')
  state.tags.set(tag, commit)
  return 'created'
}

function merge(reference: Reference, { at, from, resolve, paths }: Extract<Operation, { do: 'merge' }>): Answer {
  const into = reference.line(at)
  const theirs = reference.finished(from)
  if (into.tip !== undefined && ancestors(reference, into.tip).has(from)) return { contained: id(into.tip) }
  const bases = into.tip === undefined ? [] : ancestorsInCommon(reference, into.tip, from)
  // What is gathered for a first commit is history, too.
  const hasHistory = into.tip !== undefined || into.open !== undefined
  if (hasHistory && bases.length === 0) throw new Refusal('NoMergeBase')
  const decided = { ...(resolve ? { all: resolve } : {}), ...(paths ? { paths } : {}) }
  const { tree, conflicts, needless } = threeWay(virtualBase(reference, bases), into.view, theirs.tree, decided)
  if (conflicts.length > 0) throw new Refusal('MergeConflict', { paths: conflicts })
  if (needless) throw new Refusal('NotInConflict')
  return { merged: id(land(reference, into, tree, { message: `merge ${from}`, mergeParent: from }).id) }
}

function revert(reference: Reference, { at, commit, mainline }: Extract<Operation, { do: 'revert' }>): Answer {
  const { tree: base, parents } = reference.finished(commit)
  if (mainline === undefined && parents.length > 1) throw new Refusal('MainlineNeeded')
  const parent = parents[(mainline ?? 1) - 1]
  if (parent === undefined && (mainline ?? 1) > 1) throw new Refusal('MainlineNeeded')
  const theirs = parent === undefined ? emptyTree : reference.finished(parent).tree
  const line = reference.writable(at)
  const { tree, conflicts } = threeWay(base, line.view, theirs, {})
  if (conflicts.length > 0) throw new Refusal('MergeConflict', { paths: conflicts })
  const isChanged = [...new Set([...tree.keys(), ...line.view.keys()])].some(
    (path) => tree.get(path)?.id !== line.view.get(path)?.id,
  )
  if (!isChanged) return { unchanged: line.tip === undefined ? null : id(line.tip) }
  return { reverted: id(land(reference, line, tree, { message: `revert ${commit}` }).id) }
}

/** Its commit, under its own message. */
function land(
  reference: Reference,
  line: LineState,
  tree: Map<string, Version>,
  input: { message: string; mergeParent?: string },
): Commit {
  const from = input.mergeParent
  // A branch without a commit goes on from what is merged, as if it had been made from it.
  if (from !== undefined && line.tip === undefined && line.open === undefined) {
    line.history = reference.finished(from).history
    line.tip = from
    return reference.landTree(line, tree, { message: input.message })
  }
  return reference.landTree(line, tree, input)
}

/**
 * What changed from `base` to `theirs` is done to `ours`, path by path. A path that both changed, each in its own way, is a conflict; entries
 * that differ only in version and time are alike.
 */
function threeWay(
  base: Base,
  ours: Tree,
  theirs: Tree,
  resolve: { readonly all?: Side; readonly paths?: Readonly<Record<string, Side>> },
): { tree: Map<string, Version>; conflicts: string[]; needless: boolean } {
  const tree = new Map(ours)
  const conflicts: string[] = []
  const needless = new Set(Object.keys(resolve.paths ?? {}))
  for (const path of [...new Set([...base.keys(), ...ours.keys(), ...theirs.keys()])].sort(byUtf8)) {
    const [before, mine, other] = [base.get(path), ours.get(path), theirs.get(path)]
    if (sameBody(mine, other) || isAlike(before, other)) continue
    if (!isAlike(before, mine)) {
      needless.delete(path)
      const side = resolve.paths?.[path] ?? resolve.all
      if (side === undefined) conflicts.push(path)
      if (side !== 'theirs') continue
    }
    if (other) tree.set(path, other)
    else tree.delete(path)
  }
  return { tree, conflicts, needless: needless.size > 0 }
}

function isAlike(base: Version | typeof UNDECIDED | undefined, side: Version | undefined): boolean {
  return base !== UNDECIDED && sameBody(base, side)
}

/** Of several best ancestors what their own merge gives; where that has a conflict it is undecided. */
function virtualBase(reference: Reference, bases: readonly string[]): Base {
  const [first, ...others] = bases.toSorted((one, other) => place(reference, other) - place(reference, one))
  if (first === undefined) return emptyTree
  let root: Base = reference.finished(first).tree
  const joined = [first]
  for (const other of others) {
    const below = ancestorsInCommon(reference, other, ...joined)
    root = join(virtualBase(reference, below), root, reference.finished(other).tree)
    joined.push(other)
  }
  return root
}

/** Commits are joined newest first. */
function place({ state }: Reference, commit: string): number {
  return [...state.commits.keys()].indexOf(commit)
}

function join(base: Base, one: Base, other: Tree): Base {
  const joined = new Map(one)
  for (const path of new Set([...base.keys(), ...one.keys(), ...other.keys()])) {
    const [before, mine, theirs] = [base.get(path), one.get(path), other.get(path)]
    if (mine !== UNDECIDED && sameBody(mine, theirs)) continue
    if (isAlike(before, theirs)) continue
    const isTheirs = mine !== UNDECIDED && isAlike(before, mine)
    if (!isTheirs) joined.set(path, UNDECIDED)
    else if (theirs) joined.set(path, theirs)
    else joined.delete(path)
  }
  return joined
}
