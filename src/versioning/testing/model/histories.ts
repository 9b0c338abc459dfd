import fc from 'fast-check'
import type { Body, Line, Operation, Place } from './machine.ts'
import type { Reference } from './reference.ts'
import { etagOf } from './state.ts'

/** Few, so that histories meet: nested, equal but for a slash, and beyond ASCII, where UTF-8 and UTF-16 sort apart. */
export const paths = ['a', 'a/b', 'a/b/c', 'b', 'd/\u{10000}', 'd/\uffee']

/** Inline, a chunk, and several of them; few, so that the same bytes are written twice. */
const bodies: readonly Body[] = [
  { text: 'x0', size: 10 },
  { text: 'x1', size: 10 },
  { text: 'x2', size: 600 },
  { text: 'x3', size: 600 },
  { text: 'x4', size: 5_000 },
  { text: '', size: 0 },
]
const folders = ['a/', 'a/b/', 'd/', 'e/', '']
const branchNames = ['b0', 'b1', 'b2']
/** One of them is also tried for a branch. */
const tagNames = ['t0', 'b2']

/** One step before it is known what is there: numbers that are made choices when its turn comes. Shrinks to the first of each. */
export interface Draw {
  readonly kind: Operation['do']
  readonly choices: readonly number[]
}

export type Weights = Partial<Record<Operation['do'], number>>

/** Everything that the engine did before it had merges. */
export const plainWeights: Weights = {
  put: 30,
  upload: 2,
  delete: 10,
  deleteMany: 3,
  deleteVersions: 6,
  copy: 6,
  rename: 4,
  seal: 14,
  startCommit: 2,
  finishCommit: 3,
  createBranch: 6,
  deleteBranch: 2,
  restore: 5,
  open: 6,
  finish: 6,
  abort: 1,
  crash: 2,
  reopen: 1,
}

/** Many branches that go apart and come together. */
export const graphWeights: Weights = {
  ...plainWeights,
  put: 24,
  copy: 2,
  rename: 2,
  createBranch: 8,
  deleteVersions: 2,
  merge: 14,
  revert: 4,
  moveBranch: 3,
  protect: 2,
  createTag: 3,
  deleteTag: 1,
  moveFiles: 3,
  import: 2,
  gc: 3,
}

export function histories(weights: Weights, maxLength: number): fc.Arbitrary<Draw[]> {
  const kinds = Object.entries(weights).map(([kind, weight]) => ({
    weight,
    arbitrary: fc.constant(kind as Operation['do']),
  }))
  const draw = fc.record({
    kind: fc.oneof(...kinds),
    choices: fc.array(fc.nat(99), { minLength: 8, maxLength: 8 }),
  })
  return fc.noBias(fc.array(draw, { maxLength, size: 'max' }))
}

class Choices {
  readonly #numbers: readonly number[]
  #at = 0

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }

  number(): number {
    return this.#numbers[this.#at++ % this.#numbers.length]!
  }

  of<Item>(list: readonly Item[]): Item {
    return list[this.number() % list.length]!
  }

  /** True once in so many. */
  once(inSoMany: number): boolean {
    return this.number() % inSoMany === inSoMany - 1
  }
}

/** The step that a draw means now; undefined if there is nothing to do it with. */
export function operationOf(reference: Reference, { kind, choices }: Draw): Operation | undefined {
  const pick = new Choices(choices)
  const { state } = reference
  const at = lineOf(reference, pick)
  const branch = branchOf(reference, pick)
  switch (kind) {
    case 'put': {
      // Half of them meet on two paths with two bodies: what both sides of a merge do alike is rare otherwise.
      const isCommon = pick.once(2)
      const path = pick.of(isCommon ? paths.slice(0, 2) : paths)
      const body = pick.of(isCommon ? bodies.slice(0, 2) : bodies)
      if (pick.once(3)) return { do: kind, at, path, body, when: conditionOf(reference, at, path, pick.number()) }
      return pick.once(3) ? { do: kind, at, path, body, author: 'ann' } : { do: kind, at, path, body }
    }
    case 'upload':
      return { do: kind, at, path: pick.of(paths), body: { ...bodies[2]!, isUpload: true } }
    case 'delete': {
      const path = pick.of(paths)
      return pick.once(4)
        ? { do: kind, at, path, when: conditionOf(reference, at, path, pick.number()) }
        : { do: kind, at, path }
    }
    case 'deleteMany':
      return { do: kind, at, paths: [...new Set([pick.of(paths), pick.of(paths), pick.of(paths)])] }
    case 'deleteVersions': {
      const line = state.branches.get(branch)
      const path = pick.of(paths)
      const there = line?.history.versions.filter((version) => version.path === path) ?? []
      if (there.length === 0) return undefined
      const versions = [...new Set([pick.of(there).id, pick.of(there).id])]
      return { do: kind, at: { branch }, path, versions }
    }
    case 'copy':
      return { do: kind, at, path: pick.of(paths), from: placeOf(reference, pick), source: pick.of(paths) }
    case 'rename': {
      const source = pick.of(paths)
      const path = pick.of(paths)
      return source === path ? undefined : { do: kind, at, path, source }
    }
    case 'seal':
      return { do: kind, at: { branch }, force: !pick.once(3) }
    case 'startCommit':
    case 'finishCommit':
      return { do: kind, at: { branch }, message: `message ${pick.number()}` }
    case 'createBranch': {
      const missing = branchNames.filter((name) => !state.branches.has(name))
      const name = missing.length === 0 || pick.once(8) ? branch : pick.of(missing)
      const from = pick.once(4) ? undefined : commitOf(reference, pick)
      return { do: kind, branch: name, ...(from === undefined ? {} : { from }) }
    }
    case 'deleteBranch':
      return { do: kind, branch, force: pick.once(2) }
    case 'restore':
    case 'moveBranch':
    case 'revert':
    case 'merge':
      return graphOperation(reference, kind, branch, pick)
    case 'open':
      return { do: kind, at: { branch, transaction: pick.of(['x', 'y']) } }
    case 'finish':
    case 'abort': {
      const [key] = [...state.transactions.keys()].slice(pick.number() % Math.max(1, state.transactions.size))
      if (key === undefined) return undefined
      const [transaction, on] = key.split('.')
      return { do: kind, at: { branch: on!, transaction: transaction! } }
    }
    case 'protect':
      return { do: kind, branch, on: pick.once(2) }
    case 'createTag': {
      const commit = commitOf(reference, pick)
      return commit === undefined ? undefined : { do: kind, tag: pick.of(tagNames), commit }
    }
    case 'deleteTag':
      return { do: kind, tag: pick.of(tagNames) }
    case 'moveFiles': {
      const from = pick.of(folders)
      return { do: kind, at: { branch }, from, to: pick.of(folders), force: pick.once(2) }
    }
    case 'import': {
      const files = [0, 1, 2].map(() => [pick.of(paths), pick.of(bodies)] as const)
      return { do: kind, at: { branch }, prefix: pick.of(['', 'a/']), files: Object.fromEntries(files) }
    }
    case 'gc':
      return { do: kind, alongside: pick.once(2) }
    case 'crash':
    case 'reopen':
      return { do: kind }
  }
}

function graphOperation(
  reference: Reference,
  kind: 'restore' | 'moveBranch' | 'revert' | 'merge',
  branch: string,
  pick: Choices,
): Operation | undefined {
  const tips = [...reference.state.branches.values()].flatMap(({ name, tip }) => (tip && name !== branch ? [tip] : []))
  const isTip = kind === 'merge' && tips.length > 0 && !pick.once(4)
  const commit = isTip ? pick.of(tips) : commitOf(reference, pick)
  if (commit === undefined) return undefined
  const at = { branch }
  if (kind === 'restore') return { do: kind, at, to: commit }
  if (kind === 'moveBranch') return { do: kind, branch, to: commit }
  if (kind === 'merge') {
    const side = pick.once(2) ? pick.of(['ours', 'theirs'] as const) : undefined
    // Of few files, most of which are in conflict.
    const decided = pick.once(4)
      ? { paths: { [pick.of(paths.slice(0, 2))]: pick.of(['ours', 'theirs'] as const) } }
      : {}
    return { do: kind, at, from: commit, ...(side ? { resolve: side } : {}), ...decided }
  }
  const isMerge = (reference.state.commits.get(commit)?.parents.length ?? 0) > 1
  return { do: kind, at, commit, ...(isMerge && !pick.once(4) ? { mainline: pick.of([1, 2] as const) } : {}) }
}

/** Mostly one that is there. */
function branchOf({ state }: Reference, pick: Choices): string {
  return state.branches.size === 0 || pick.once(16) ? pick.of(branchNames) : pick.of([...state.branches.keys()])
}

/** Mostly a branch; a transaction where there are some. */
function lineOf(reference: Reference, pick: Choices): Line {
  const open = [...reference.state.transactions.keys()]
  if (open.length > 0 && pick.once(3)) {
    const [transaction, branch] = pick.of(open).split('.')
    return { branch: branch!, transaction: transaction! }
  }
  return { branch: branchOf(reference, pick) }
}

/** Most often one that can be read. */
function commitOf({ state }: Reference, pick: Choices): string | undefined {
  const all = [...state.commits.values()]
  const finished = all.filter((commit) => commit.finished)
  const of = pick.once(8) || finished.length === 0 ? all : finished
  return of.length === 0 ? undefined : pick.of(of).id
}

function placeOf(reference: Reference, pick: Choices): Place {
  const commit = commitOf(reference, pick)
  return commit !== undefined && pick.once(2) ? { commit } : lineOf(reference, pick)
}

function conditionOf({ state }: Reference, at: Line, path: string, n: number) {
  const line =
    at.transaction === undefined
      ? state.branches.get(at.branch)
      : state.transactions.get(`${at.transaction}.${at.branch}`)
  const body = line?.view.get(path)?.body
  const choices = [
    { ifNoneMatch: '*' },
    { ifMatch: '*' },
    { ifMatch: etagOf(body ?? bodies[0]!) },
    { ifMatch: etagOf(bodies[1]!) },
  ]
  return choices[n % choices.length]!
}
