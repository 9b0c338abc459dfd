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

const paths = ['a', 'a/b', 'b', 'é/c'].map(parsePath)

/** A version as the model knows it; `body` is null for a delete marker. */
interface Kept {
  readonly id: string
  readonly seq: number
  readonly body: string | null
}

/** S3's versions of one bucket as AWS describes them, and what restoring adds: a tree becomes current again. */
class Model {
  readonly versions = new Map<string, Kept[]>()
  readonly view = new Map<string, Kept>()
  readonly hidden = new Map<string, number>()
  seq = 0
  /** Undefined: not enabled. */
  enabledAt: number | undefined = 0
  nulls: ReadonlyMap<string, Kept> | undefined
  /** What was inherited from the commit that it was made from is older than everything of its own. */
  readonly inherited = new Set<string>()

  write(path: string, id: string, body: string | null): void {
    const kept = { id, seq: ++this.seq, body }
    this.versions.set(path, [...(this.versions.get(path) ?? []), kept])
    if (body === null) this.view.delete(path)
    else this.view.set(path, kept)
  }

  /** Of the versions that have ids, the newest first. */
  listed(path: string): readonly Kept[] {
    const from = this.enabledAt
    if (from === undefined) return []
    const shown = (kept: Kept) =>
      !this.hidden.has(kept.id) && (this.nulls === undefined || (kept.seq > from && !this.inherited.has(kept.id)))
    return (this.versions.get(path) ?? []).filter(shown).toReversed()
  }

  isNull(kept: Kept): boolean {
    if (this.enabledAt === undefined) return true
    return this.nulls !== undefined && (kept.seq <= this.enabledAt || this.inherited.has(kept.id))
  }

  latest(path: string): Kept | undefined {
    const current = this.view.get(path)
    if (current) return current
    const newest = this.listed(path)[0]
    return newest?.body === null ? newest : undefined
  }

  nullOf(path: string): Kept | undefined {
    const current = this.view.get(path)
    if (current && this.isNull(current)) return current
    const old = this.nulls?.get(path)
    return old && !this.hidden.has(old.id) ? old : undefined
  }

  all(path: string): { name: string; latest: boolean; body: string | null }[] {
    const latest = this.latest(path)
    const shown: Kept[] = latest ? [latest] : []
    for (const kept of this.listed(path)) if (kept.id !== latest?.id) shown.push(kept)
    const old = this.nullOf(path)
    if (old && old.id !== latest?.id && !(latest && latest.body !== null && this.isNull(latest))) shown.push(old)
    return shown.map((kept) => ({
      name: kept.body !== null && this.isNull(kept) ? 'null' : kept.id,
      latest: kept === latest || kept.id === latest?.id,
      body: kept.body,
    }))
  }

  /** Of one request: all are gone before it is decided what comes back. */
  deleteVersions(path: string, names: readonly string[]): void {
    if (this.enabledAt === undefined) {
      if (names.includes('null') && this.view.has(path)) this.write(path, `gone ${this.seq}`, null)
      return
    }
    const latest = this.latest(path)
    const found = names.flatMap((name) => this.find(path, name) ?? [])
    for (const { id } of found) if (!this.hidden.has(id)) this.hidden.set(id, this.seq + 1)
    if (!found.some(({ id }) => id === latest?.id)) return
    this.seq++
    const old = this.nulls?.get(path)
    const back = this.listed(path)[0] ?? (old && !this.hidden.has(old.id) ? old : undefined)
    if (back && back.body !== null) this.view.set(path, back)
    else this.view.delete(path)
  }

  find(path: string, name: string): Kept | undefined {
    if (name === 'null') return this.nullOf(path)
    const current = this.view.get(path)
    if (current?.id === name && !this.isNull(current)) return current
    return this.listed(path).find(({ id }) => id === name)
  }

  enable(): void {
    if (this.enabledAt !== undefined) return
    this.enabledAt = this.seq
    if (this.seq > 0 || this.inherited.size > 0) this.nulls = new Map(this.view)
  }

  /** As a commit that ends now shows it. */
  frozen(): Model {
    const copy = new Model()
    for (const [path, kept] of this.versions) copy.versions.set(path, [...kept])
    for (const [path, kept] of this.view) copy.view.set(path, kept)
    for (const [id, at] of this.hidden) if (at <= this.seq) copy.hidden.set(id, at)
    copy.seq = this.seq
    return copy
  }

  static branchOf(commit: Model, enabled: boolean): Model {
    const branch = commit.frozen()
    for (const kept of branch.versions.values()) for (const { id } of kept) branch.inherited.add(id)
    for (const id of branch.hidden.keys()) branch.hidden.set(id, 0)
    branch.seq = 0
    if (!enabled) branch.enabledAt = undefined
    return branch
  }
}

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
    if (!newest) return
    await versioning.waitForCommit(newest.commit)
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
        this.model.view.clear()
        for (const [path, kept] of commit.model.view) this.model.view.set(path, kept)
        this.model.seq++
        return
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
