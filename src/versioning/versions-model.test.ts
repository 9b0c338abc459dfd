import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type BranchAddress,
  type CommitId,
  type FileVersion,
  parseBranchName,
  parsePath,
  parseRepoName,
  type Target,
  type VersionName,
  VersionNotFound,
} from './index.ts'
import { openTestStore, putText, type TestStore } from './testing/store.ts'
import { type Kept, Model } from './testing/versions-model.ts'

const paths = ['a', 'a/b', 'b', 'é/c'].map(parsePath)

const pathIndex = fc.nat(paths.length - 1)
const operations = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), path: pathIndex }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), path: pathIndex }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('deleteVersions' as const),
        path: pathIndex,
        which: fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), commit: fc.nat(5) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('merge' as const),
        commit: fc.nat(5),
        side: fc.constantFrom('ours' as const, 'theirs' as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), commit: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('branch' as const), commit: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('enable' as const) }) },
  ),
  { minLength: 5, maxLength: 40 },
)

type Operation = ReturnType<typeof operations.generate>['value'][number]

let repos = 0

class Run {
  readonly store: TestStore
  readonly repo = parseRepoName(`r${++repos}`)
  readonly enabled: boolean
  readonly commits: { id: CommitId; model: Model }[] = []
  at: BranchAddress = { repo: this.repo, branch: parseBranchName('b0') }
  branches = 1
  model = new Model()

  constructor(store: TestStore, enabled: boolean) {
    this.store = store
    this.enabled = enabled
    if (!enabled) this.model.enabledAt = undefined
  }

  get target(): Target {
    return { kind: 'branch', ...this.at }
  }

  async seal(): Promise<void> {
    const { versioning } = this.store
    const newest = await versioning.seal(this.at, { force: true })
    this.model.isOpen = false
    if (!newest) return
    await versioning.waitForCommit(newest.commit)
    // Nothing was written since, or the branch was pointed at it.
    if (this.commits.some(({ id }) => id === newest.commit)) return
    this.commits.push({ id: newest.commit, model: this.model.frozen() })
  }

  async do(operation: Operation): Promise<void> {
    const { versioning } = this.store
    switch (operation.kind) {
      case 'put': {
        const path = paths[operation.path]!
        const body = `${path} ${this.model.seq} ${Math.floor(operation.path)}`
        const { version } = await putText(versioning, this.at, path, body)
        return this.model.write(path, nameOf(version), body)
      }
      case 'delete': {
        const path = paths[operation.path]!
        const { version } = await versioning.delete(this.at, path)
        return this.model.write(path, nameOf(version), null)
      }
      case 'deleteVersions': {
        const path = paths[operation.path]!
        const ids = [...(this.model.versions.get(path) ?? []).map(({ id }) => id), 'null']
        const wanted = [...new Set(operation.which.map((n) => ids[n % ids.length]!))].filter(
          (id) => !id.startsWith('gone'),
        )
        await versioning.versions.delete(
          this.at,
          wanted.map((id) => ({ path, version: versionOf(id) })),
        )
        return this.model.deleteVersions(path, wanted)
      }
      case 'seal':
        return this.seal()
      case 'restore': {
        await this.seal()
        const commit = this.commits[operation.commit % Math.max(1, this.commits.length)]
        if (!commit) return
        await versioning.restore(this.at, commit.id)
        return this.model.land(commit.model.view)
      }
      case 'merge': {
        await this.seal()
        const commit = this.commits[operation.commit % Math.max(1, this.commits.length)]
        if (!commit) return
        const input = { resolve: { all: operation.side }, allowUnrelated: true }
        const merged = await versioning.merges.merge(this.at, commit.id, input)
        if (merged.kind === 'contained') return
        const { root } = merged.commit
        const view = new Map<string, Kept>()
        for await (const entry of versioning.trees.walk(root)) {
          const kept = [this.model, commit.model].flatMap((model) => model.view.get(entry.path) ?? [])
          view.set(entry.path, kept.find(({ id }) => id === nameOf(entry.version))!)
        }
        return this.model.land(view)
      }
      case 'move': {
        // Where versioning was enabled later, ids begin anew with each line; that is another test's.
        if (!this.enabled) return
        await this.seal()
        const commit = this.commits[operation.commit % Math.max(1, this.commits.length)]
        if (!commit) return
        await versioning.moveBranch(this.at, commit.id)
        return this.model.follow(commit.model)
      }
      case 'branch': {
        const commit = this.commits[operation.commit % Math.max(1, this.commits.length)]
        if (!commit) return
        this.at = { repo: this.repo, branch: parseBranchName(`b${this.branches++}`) }
        await versioning.createBranch(this.at, { from: commit.id })
        this.model = Model.branchOf(commit.model, this.enabled)
        return
      }
      case 'enable':
        await versioning.versions.enable(this.at)
        return this.model.enable()
    }
  }
}

function nameOf(version: VersionName): string {
  return version === 'null' ? version : `${version.commit}-${version.seq}`
}

function versionOf(name: string): VersionName {
  const [commit, seq] = name.split('-')
  return name === 'null' ? 'null' : { commit: commit as CommitId, seq: Number(seq) }
}

async function bodyOf(store: TestStore, { entry }: FileVersion): Promise<string | null> {
  return entry && (await store.versioning.content.readBytes(entry.content)).toString()
}

async function listed(store: TestStore, target: Target, limit: number) {
  const all: { path: string; name: string; latest: boolean; body: string | null }[] = []
  let after: NonNullable<Parameters<typeof store.versioning.versions.list>[1]['after']> | undefined
  do {
    const page = await store.versioning.versions.list(target, { limit, ...(after ? { after } : {}) })
    assert.ok(page.versions.length <= limit)
    assert.ok(all.length < 1000, 'the pages come to an end')
    for (const version of page.versions) {
      const body = await bodyOf(store, version)
      all.push({ path: version.path, name: nameOf(version.version), latest: version.isLatest, body })
    }
    after = page.next
  } while (after)
  return all
}

function expected(model: Model) {
  const sorted = [...new Set([...model.versions.keys(), ...model.view.keys()])].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  )
  return sorted.flatMap((path) => model.all(path).map((version) => ({ path, ...version })))
}

async function check(run: Run): Promise<void> {
  const { store, target, model } = run
  const wanted = expected(model)
  for (const limit of [1, 2, 1000]) assert.deepEqual(await listed(store, target, limit), wanted, `pages of ${limit}`)
  for (const { path, name, latest, body } of wanted) {
    const { found } = await store.versioning.versions.find(target, parsePath(path), versionOf(name))
    assert.deepEqual([nameOf(found.version), found.isLatest, await bodyOf(store, found)], [name, latest, body])
  }
  for (const path of paths) {
    const shown = new Set(model.all(path).map(({ name }) => name))
    for (const { id } of model.versions.get(path) ?? []) {
      if (shown.has(id) || id.startsWith('gone')) continue
      await assert.rejects(store.versioning.versions.find(target, path, versionOf(id)), VersionNotFound)
    }
    const marker = model.view.has(path) ? undefined : model.latest(path)?.id
    if (model.view.has(path)) continue
    const found = await store.versioning.versions.marker(target, path)
    assert.equal(found && nameOf(found.version), marker)
  }
  for (const { id, model } of run.commits.slice(-2)) {
    const at = { kind: 'commit', repo: run.repo, commit: id } as const
    const wanted = expected(asCommit(model))
    const found = await listed(store, at, 3)
    // The marker that deleting `null` left, of which S3 said no id at the time.
    const named = found.map((version, i) =>
      wanted[i]?.name.startsWith('gone') ? { ...version, name: wanted[i].name } : version,
    )
    assert.deepEqual(named, wanted)
  }
}

/** A commit shows ids, whatever its branch shows. */
function asCommit(model: Model): Model {
  model.enabledAt = 0
  model.nulls = undefined
  return model
}

describe('versions, against a model of S3', () => {
  let store: TestStore
  before(async () => {
    store = await openTestStore()
  })
  after(() => store.close())

  it('lists, finds and deletes what the model says, also after a restart', async () => {
    const kept: Run[] = []
    await fc.assert(
      fc.asyncProperty(operations, async (list) => {
        const run = new Run(store, true)
        await store.versioning.createBranch(run.at)
        for (const operation of list) await run.do(operation)
        await check(run)
        await run.seal()
        await check(run)
        if (kept.length < 5) kept.push(run)
      }),
      { numRuns: 40 },
    )
    await store.reopen()
    for (const run of kept) await check(run)
  })
})

describe('versions of branches that start without versioning', () => {
  let store: TestStore
  before(async () => {
    store = await openTestStore({ unversioned: true })
  })
  after(() => store.close())

  it('shows what is there as null, and ids from when it is enabled', async () => {
    await fc.assert(
      fc.asyncProperty(operations, async (list) => {
        const run = new Run(store, false)
        await store.versioning.createBranch(run.at)
        for (const operation of list) await run.do(operation)
        await check(run)
      }),
      { numRuns: 40 },
    )
  })
})
