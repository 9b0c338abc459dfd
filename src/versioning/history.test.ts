import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type BranchAddress, type CommitId, ConditionFailed, parseBranchName, parsePath, type Target } from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, type TestStore } from './testing/store.ts'

const repo = branchOf('r@master').repo
const paths = ['a', 'a/b', 'a/b/c', 'b', 'ä', 'z/', '😀', '\uffff', 'a-1', 'dir/x', 'dir/y']

type Files = ReadonlyMap<string, string>
interface ModelCommit {
  readonly id: CommitId
  readonly files: Files
  readonly parent: CommitId | undefined
}
interface ModelBranch {
  files: Map<string, string>
  /** Whether there is an open batch. */
  dirty: boolean
  tip: CommitId | undefined
}

/** The whole engine in memory: what is on a branch, and what each commit holds. */
class Model {
  readonly branches = new Map<string, ModelBranch>([['master', { files: new Map(), dirty: false, tip: undefined }]])
  readonly commits: ModelCommit[] = []

  branch(index: number): [string, ModelBranch] {
    const all = [...this.branches]
    return all[index % all.length]!
  }

  commit(name: string, id: CommitId): void {
    const branch = this.branches.get(name)!
    this.commits.push({ id, files: new Map(branch.files), parent: branch.tip })
    branch.tip = id
    branch.dirty = false
  }
}

type Step = (model: Model, store: TestStore) => Promise<void>

const address = (name: string): BranchAddress & Target => ({ kind: 'branch', repo, branch: parseBranchName(name) })
const sorted = (files: Files) => [...files.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

async function expectFiles(store: TestStore, at: Target, files: Files): Promise<void> {
  assert.deepEqual(await listAll(store.versioning, at, 3), sorted(files))
  for (const [path, text] of files) assert.equal(await getText(store.versioning, at, path), text)
}

const index = fc.nat(50)
const path = fc.constantFrom(...paths)
const text = fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('x'.repeat(600), 'same'))

const steps: fc.Arbitrary<readonly [string, Step]>[] = [
  fc.tuple(index, path, text).map(([b, p, value]) => [
    `put ${b} ${p}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      await putText(store.versioning, address(name), p, value)
      branch.files.set(p, value)
      branch.dirty = true
    },
  ]),
  fc.tuple(index, path).map(([b, p]) => [
    `delete ${b} ${p}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      const { existed } = await store.versioning.delete(address(name), parsePath(p))
      assert.equal(existed, branch.files.delete(p))
      branch.dirty = true
    },
  ]),
  fc.tuple(index, path, text).map(([b, p, value]) => [
    `put if absent ${b} ${p}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      const put = putText(store.versioning, address(name), p, value, { conditions: { ifNoneMatch: '*' } })
      if (branch.files.has(p)) return assert.rejects(put, ConditionFailed)
      await put
      branch.files.set(p, value)
      branch.dirty = true
    },
  ]),
  index.map((b) => [
    `commit ${b}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      const sealed = await store.versioning.seal(address(name))
      if (!branch.dirty) return assert.equal(sealed?.commit, branch.tip)
      model.commit(name, sealed!.commit)
    },
  ]),
  fc.tuple(index, index).map(([b, c]) => [
    `restore ${b} to ${c}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      const to = model.commits[c % Math.max(1, model.commits.length)]
      if (!to) return
      await store.versioning.waitForCommit(to.id)
      const restored = await store.versioning.restore(address(name), to.id)
      if (branch.dirty) model.commit(name, restored.parents[0]!)
      branch.files = new Map(to.files)
      model.commit(name, restored.id)
    },
  ]),
  fc.tuple(index, index).map(([b, c]) => [
    `branch ${b} at ${c}`,
    async (model, store) => {
      const from = model.commits[c % Math.max(1, model.commits.length)]
      const name = `b${b}`
      if (!from || model.branches.has(name)) return
      await store.versioning.waitForCommit(from.id)
      await store.versioning.createBranch(address(name), { from: from.id })
      model.branches.set(name, { files: new Map(from.files), dirty: false, tip: from.id })
    },
  ]),
  fc.constant(['reopen', async (_model, store) => store.reopen()]),
  index.map((b) => [
    `look at ${b}`,
    async (model, store) => {
      const [name, branch] = model.branch(b)
      await expectFiles(store, address(name), branch.files)
    },
  ]),
]

describe('any history', () => {
  it('shows on every branch and in every commit what a map in memory would', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...steps), { minLength: 5, maxLength: 40 }), async (history) => {
        const store = await openTestStore()
        try {
          await store.versioning.createBranch(address('master'))
          const model = new Model()
          for (const [, step] of history) await step(model, store)
          for (const [name, branch] of model.branches) await expectFiles(store, address(name), branch.files)
          for (const { id, files, parent } of model.commits) {
            const commit = await store.versioning.waitForCommit(id)
            assert.deepEqual(commit.parents, parent ? [parent] : [])
            const real = [...files].filter(([name, value]) => !(name.endsWith('/') && value === ''))
            const bytes = real.reduce((sum, [, value]) => sum + Buffer.byteLength(value), 0)
            assert.deepEqual([commit.files, commit.sizeBytes], [real.length, bytes])
            await expectFiles(store, { kind: 'commit', repo, commit: id }, files)
          }
          const same = new Map<string, string>()
          for (const { id, files } of model.commits) {
            const { root } = await store.versioning.getCommit(repo, id)
            const content = JSON.stringify(sorted(files).map((name) => [name, files.get(name)]))
            same.set(root, same.get(root) ?? content)
            assert.equal(same.get(root), content, 'one root, two contents')
          }
        } finally {
          await store.close()
        }
      }),
      { numRuns: 25 },
    )
  })
})
