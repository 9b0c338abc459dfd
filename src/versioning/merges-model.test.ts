import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { type CommitId, MergeConflict, parsePath } from './index.ts'
import { assertSound } from './testing/fsck.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const BRANCHES = ['master', 'left', 'right'] as const
const PATHS = ['a', 'b', 'c/d', 'e'] as const
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)

type Branch = (typeof BRANCHES)[number]
/** A text, or undecided: the ancestors have no common answer. */
type Value = string | symbol
type Tree = ReadonlyMap<string, Value>
const UNDECIDED = Symbol('undecided')

type Step =
  | { readonly kind: 'put'; readonly on: Branch; readonly path: string; readonly text: string }
  | { readonly kind: 'delete'; readonly on: Branch; readonly path: string }
  | {
      /** `cross`: each into the other, as both were before. */
      readonly kind: 'merge' | 'cross'
      readonly on: Branch
      readonly from: Branch
      /** So many commits before its newest. */
      readonly back: number
      readonly all: 'ours' | 'theirs' | undefined
    }

/** The same in the simplest form: commits as maps, ancestors by the definition. */
class Model {
  readonly commits: { readonly parents: readonly number[]; readonly tree: Tree }[] = []
  readonly heads = new Map<Branch, number>()

  add(on: Branch, tree: Tree, ...more: readonly number[]): number {
    const head = this.heads.get(on)
    const parents = head === undefined ? more : [head, ...more]
    const commit = this.commits.push({ parents, tree }) - 1
    this.heads.set(on, commit)
    return commit
  }

  treeOf(on: Branch): Tree {
    return this.commits[this.heads.get(on)!]!.tree
  }

  /** So many commits back on the branch, as far as there are some. */
  before(on: Branch, back: number): number {
    let commit = this.heads.get(on)!
    for (let step = 0; step < back; step++) commit = this.commits[commit]!.parents[0] ?? commit
    return commit
  }

  ancestors(...starts: readonly number[]): Set<number> {
    const found = new Set<number>()
    const waiting = [...starts]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (found.has(next)) continue
      found.add(next)
      waiting.push(...this.commits[next]!.parents)
    }
    return found
  }

  bases(left: readonly number[], right: number): number[] {
    const theirs = this.ancestors(right)
    const common = [...this.ancestors(...left)].filter((commit) => theirs.has(commit))
    const behind = new Set(common.flatMap((commit) => [...this.ancestors(...this.commits[commit]!.parents)]))
    return common.filter((commit) => !behind.has(commit)).sort((a, b) => b - a)
  }

  base(bases: readonly number[]): Tree {
    const [first, ...others] = bases
    if (first === undefined) return new Map()
    let tree = this.commits[first]!.tree
    const joined = [first]
    for (const other of others) {
      const below = this.base(this.bases(joined, other))
      tree = merge(below, tree, this.commits[other]!.tree, () => UNDECIDED).tree
      joined.push(other)
    }
    return tree
  }
}

function merge(
  base: Tree,
  ours: Tree,
  theirs: Tree,
  decide: (ours: Value | undefined, theirs: Value | undefined) => Value | undefined | 'conflict',
): { tree: Tree; conflicts: string[] } {
  const tree = new Map(ours)
  const conflicts: string[] = []
  const alike = (one: Value | undefined, other: Value | undefined) => one === other && one !== UNDECIDED
  for (const path of new Set([...base.keys(), ...ours.keys(), ...theirs.keys()])) {
    const [was, mine, its] = [base.get(path), ours.get(path), theirs.get(path)]
    if (alike(was, its) || alike(mine, its)) continue
    const value = alike(was, mine) ? its : decide(mine, its)
    if (value === 'conflict') conflicts.push(path)
    else if (value === undefined) tree.delete(path)
    else tree.set(path, value)
  }
  return { tree, conflicts: conflicts.sort() }
}

const someBranch = fc.constantFrom(...BRANCHES)
const somePath = fc.constantFrom(...PATHS)
const someSteps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        on: someBranch,
        path: somePath,
        text: fc.constantFrom('1', '2', '3'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), on: someBranch, path: somePath }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('merge' as const, 'cross' as const),
        on: someBranch,
        from: someBranch,
        back: fc.nat(2),
        all: fc.constantFrom('ours' as const, 'theirs' as const, undefined),
      }),
    },
  ),
  { minLength: 12, maxLength: 30, size: 'max' },
)

describe('merges, beside a model of them', () => {
  let store: TestStore
  let repos = 0
  let crossed = 0
  before(async () => {
    store = await openTestStore()
  })
  after(async () => {
    await assertSound(store)
    await store.close()
  })

  async function play(steps: readonly Step[]): Promise<void> {
    const { versioning } = store
    const repo = `repo${++repos}`
    const at = (branch: Branch) => branchOf(`${repo}@${branch}`)
    const model = new Model()
    const ids: CommitId[] = []
    await versioning.createBranch(at('master'))
    await putText(versioning, at('master'), 'a', '0')
    ids[model.add('master', new Map([['a', '0']]))] = (await sealCommit(versioning, at('master'))).id
    for (const branch of ['left', 'right'] as const) {
      await versioning.createBranch(at(branch), { from: ids[0]! })
      model.heads.set(branch, 0)
    }
    for (const step of steps) {
      if (step.kind === 'put' || step.kind === 'delete') {
        const tree = new Map(model.treeOf(step.on))
        if (step.kind === 'put') {
          await putText(versioning, at(step.on), step.path, step.text)
          tree.set(step.path, step.text)
        } else {
          await versioning.delete(at(step.on), parsePath(step.path))
          tree.delete(step.path)
        }
        ids[model.add(step.on, tree)] = (await sealCommit(versioning, at(step.on))).id
      } else {
        const before = model.heads.get(step.on)!
        await mergeBoth(step, model.before(step.from, step.back), model, ids, at)
        if (step.kind === 'cross') await mergeBoth({ ...step, on: step.from }, before, model, ids, at)
      }
    }
    for (const branch of BRANCHES) {
      const keys = await listAll(versioning, at(branch), 100)
      const found = await Promise.all(keys.map(async (key) => [key, await getText(versioning, at(branch), key)]))
      assert.deepEqual(found, [...model.treeOf(branch)].sort())
    }
  }

  async function mergeBoth(
    { on, all }: Pick<Extract<Step, { kind: 'merge' | 'cross' }>, 'on' | 'all'>,
    theirs: number,
    model: Model,
    ids: CommitId[],
    at: (branch: Branch) => ReturnType<typeof branchOf>,
  ): Promise<void> {
    const { merges } = store.versioning
    const ours = model.heads.get(on)!
    const bases = model.bases([ours], theirs)
    const found = await merges.mergeBases(at(on).repo, ids[ours]!, ids[theirs]!)
    assert.deepEqual(
      found,
      bases.map((base) => ids[base]),
    )
    if (bases.length > 1) crossed++
    const expected = merge(model.base(bases), model.treeOf(on), model.commits[theirs]!.tree, (mine, its) => {
      if (all === undefined) return 'conflict'
      return all === 'ours' ? mine : its
    })
    const done = await merges
      .merge(at(on), ids[theirs]!, all === undefined ? {} : { resolve: { all } })
      .catch((error: unknown) => {
        if (!(error instanceof MergeConflict)) throw error
        return (error.data['paths'] as readonly { path: string }[]).map(({ path }) => path)
      })
    if ('kind' in done && done.kind === 'contained') return assert.ok(bases.includes(theirs))
    assert.ok(!bases.includes(theirs))
    if (!('kind' in done)) return assert.deepEqual(done, expected.conflicts)
    assert.deepEqual(expected.conflicts, [])
    ids[model.add(on, expected.tree, theirs)] = done.commit.id
    assert.equal(done.commit.files, expected.tree.size)
  }

  it(`come out as those of the model, crossed ones too (MODEL_SEED=${SEED})`, { timeout: 300_000 }, async () => {
    await fc.assert(fc.asyncProperty(someSteps, play), { numRuns: 25, seed: SEED, interruptAfterTimeLimit: 60_000 })
    assert.ok(crossed > 0, `${crossed} merges had several bases`)
  })
})
