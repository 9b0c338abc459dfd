import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { InvalidInput } from '../kernel/index.ts'
import {
  type BranchAddress,
  FilesExist,
  InvalidPath,
  PathNotFound,
  parseBranchName,
  parsePath,
  ReadOnly,
  type Target,
} from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

let repos = 0
let store: TestStore
let at: BranchAddress & Target
before(async () => {
  store = await openTestStore()
})
after(() => store.close())
beforeEach(async () => {
  at = branchOf(`m${++repos}@master`)
  await store.versioning.createBranch(at)
})

const put = (path: string, text: string = path, to: BranchAddress = at) => putText(store.versioning, to, path, text)
const files = (of: Target = at) => listAll(store.versioning, of)

describe('moving a folder', () => {
  it('is one commit of everything that was acknowledged, held open or not, with times, tags and ACLs', async () => {
    await put('a/1')
    await sealCommit(store.versioning, at)
    await store.versioning.startCommit(at)
    await put('a/deep/2')
    await put('a/', '')
    const tagged = await putText(store.versioning, at, 'a/3', 'x', {
      tags: [{ key: 'k', value: 'v' }],
      access: 'public-read',
    })
    await put('b/there')
    await put('other')
    const { modifiedMs } = await store.versioning.stat(at, parsePath('a/1'))
    const {
      commit,
      files: moved,
      sizeBytes,
    } = await store.versioning.moves.move(at, {
      from: 'a/',
      to: 'b/',
      author: 'me',
      message: 'tidy',
    })
    assert.deepEqual(await files(), ['b/', 'b/1', 'b/3', 'b/deep/2', 'b/there', 'other'])
    assert.equal(await getText(store.versioning, at, 'b/deep/2'), 'a/deep/2')
    assert.deepEqual([moved, sizeBytes, commit.message, commit.authors], [4, 12, 'tidy', ['me']])
    assert.deepEqual([commit.files, commit.state], [5, 'finished'])
    assert.equal((await store.versioning.stat(at, parsePath('b/1'))).modifiedMs, modifiedMs)
    const file = await store.versioning.stat(at, parsePath('b/3'))
    const { version } = file
    assert.equal(version.commit, commit.id)
    assert.deepEqual(await store.versioning.tags.of(version), [{ key: 'k', value: 'v' }])
    assert.equal(await store.versioning.sharing.ofVersion(version), 'public-read')
    await store.versioning.tags.replace(at, file, [])
    assert.equal((await store.versioning.tags.of(tagged.version)).length, 1)
    const [parent] = commit.parents
    assert.deepEqual(await files({ kind: 'commit', repo: at.repo, commit: parent! }), [
      'a/',
      'a/1',
      'a/3',
      'a/deep/2',
      'b/there',
      'other',
    ])
  })

  it('changes nothing where it is refused', async () => {
    for (const path of ['a/1', 'a/2', 'a/3', 'b/1', 'b/3', 'f']) await put(path)
    const head = (await sealCommit(store.versioning, at)).id
    const move = (from: string, to: string) => store.versioning.moves.move(at, { from, to })
    await assert.rejects(move('a/', 'b/'), (error: unknown) => {
      assert.ok(error instanceof FilesExist)
      assert.deepEqual(error.data, { paths: ['b/1', 'b/3'], total: 2 })
      return true
    })
    await assert.rejects(move('none/', 'c/'), PathNotFound)
    await assert.rejects(move('f/', 'c/'), PathNotFound)
    await assert.rejects(move('a', 'c'), PathNotFound)
    for (const [from, to] of [
      ['a/', 'a/b/'],
      ['a/', 'a/'],
      ['', 'c/'],
      ['f', 'f'],
      ['a/', 'c'],
      ['f', 'c/'],
      ['a/', '_temporary/'],
      ['a/', 'x/__magic/y/'],
    ] as const) {
      await assert.rejects(move(from, to), InvalidInput, `${from} → ${to}`)
    }
    await assert.rejects(move('a/', '.sluice/'), ReadOnly)
    await assert.rejects(move('a/', `${'x'.repeat(1023)}/`), InvalidPath)
    await assert.rejects(move('a/', '\ud800/'), InvalidPath)
    assert.equal((await store.versioning.getBranch(at)).head, head)
    assert.equal((await store.versioning.moves.move(at, { from: 'a/', to: 'b/', force: true })).files, 3)
    assert.deepEqual(await files(), ['b/1', 'b/2', 'b/3', 'f'])
    assert.equal(await getText(store.versioning, at, 'b/1'), 'a/1')
    await store.versioning.moves.move(at, { from: 'f', to: 'b/f' })
    assert.deepEqual(await files(), ['b/1', 'b/2', 'b/3', 'b/f'])
  })

  it('moves as a plain map does, also up, down and over slices, and counts what it holds', async () => {
    const folders = ['', 'a/', 'a/a/', 'b/', 'a/b/']
    const steps = fc.array(
      fc.oneof(
        {
          weight: 3,
          arbitrary: fc.record({
            kind: fc.constant('put' as const),
            to: fc.nat(4),
            name: fc.constantFrom('x', 'y', 'a'),
          }),
        },
        {
          weight: 3,
          arbitrary: fc.record({
            kind: fc.constantFrom('move' as const, 'copy' as const),
            from: fc.nat(4),
            to: fc.nat(4),
            force: fc.boolean(),
          }),
        },
      ),
      { minLength: 4, maxLength: 14 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const branch = branchOf(`m${++repos}@master`)
        await store.versioning.createBranch(branch)
        let model = new Map<string, string>()
        for (const [index, step] of list.entries()) {
          if (step.kind === 'put') {
            const path = folders[step.to]! + step.name
            await put(path, String(index), branch)
            model.set(path, String(index))
            continue
          }
          const [from, to] = [folders[step.from]!, folders[step.to]!]
          const input = { from, to, force: step.force }
          const isMove = step.kind === 'move'
          const source = [...model].filter(([path]) => path.startsWith(from))
          const rest = isMove ? new Map([...model].filter(([path]) => !path.startsWith(from))) : new Map(model)
          const targets = source.map(([path, text]) => [to + path.slice(from.length), text] as const)
          const run = async () => {
            if (isMove) return store.versioning.moves.move(branch, input)
            const commit = await store.versioning.resolveRevision(branch.repo, 'master', { settle: true })
            return store.versioning.moves.copy(branch, { repo: branch.repo, commit }, input)
          }
          if (model.size === 0 && !isMove) continue
          if (isMove && to.startsWith(from)) {
            await assert.rejects(run(), InvalidInput)
            continue
          }
          if (targets.length === 0) {
            await assert.rejects(run(), PathNotFound)
            continue
          }
          if (!step.force && targets.some(([path]) => rest.has(path))) {
            await assert.rejects(run(), FilesExist)
            continue
          }
          const { commit } = await run()
          model = new Map([...rest, ...targets])
          assert.equal(commit.files, model.size)
          assert.equal(commit.sizeBytes, [...model.values()].join('').length)
        }
        assert.deepEqual((await files(branch)).toSorted(), [...model.keys()].toSorted())
        for (const [path, text] of model) assert.equal(await getText(store.versioning, branch, path), text)
      }),
      { numRuns: 30 },
    )
  })

  it('moves many files without holding up others, and what is written meanwhile stays where it is written', async () => {
    const count = 12_000
    for (let from = 0; from < count; from += 1000) {
      await Promise.all(Array.from({ length: 1000 }, (_, i) => put(`a/${String(from + i).padStart(6, '0')}`, 'x')))
    }
    const moving = store.versioning.moves.move(at, { from: 'a/', to: 'b/' })
    let written = 0
    let done = false
    void moving.then(() => (done = true))
    for (; !done; written++) await put(`c/${written}`)
    const { commit, files: moved } = await moving
    assert.equal(moved, count)
    assert.ok(written > 0)
    const now = await sealCommit(store.versioning, at)
    const counted = async (prefix: string) => (await store.versioning.trees.measure(now.root, prefix)).objects
    assert.deepEqual([await counted('a/'), await counted('b/'), await counted('c/')], [0, count, written])
    assert.equal((await store.versioning.getCommit(at.repo, commit.id)).state, 'finished')
  })
})

describe('copying a folder', () => {
  it('comes from any commit of any repo, with tags and without ACLs, and leaves no file behind', async () => {
    await putText(store.versioning, at, 'a/1', 'one', { tags: [{ key: 'k', value: 'v' }], access: 'public-read' })
    await put('a/2')
    const first = await sealCommit(store.versioning, at)
    await store.versioning.delete(at, parsePath('a/1'))
    const other = branchOf(`m${++repos}@${parseBranchName('side')}`)
    await store.versioning.createBranch(other)
    const source = { repo: at.repo, commit: first.id }
    const { commit } = await store.versioning.moves.copy(other, source, { from: '', to: 'in/' })
    assert.deepEqual(await files(other), ['in/a/1', 'in/a/2'])
    assert.equal(await getText(store.versioning, other, 'in/a/1'), 'one')
    const { version } = await store.versioning.stat(other, parsePath('in/a/1'))
    assert.equal(version.commit, commit.id)
    assert.equal((await store.versioning.tags.of(version)).length, 1)
    assert.equal(await store.versioning.sharing.ofVersion(version), 'private')
    await store.versioning.moves.copy(other, source, { from: 'a/1', to: 'one' })
    assert.deepEqual(await files(other), ['in/a/1', 'in/a/2', 'one'])
    assert.match(commit.message, /^copy m\d+@[0-9a-f]{32}: to in\/$/)
    await store.versioning.moves.copy(at, source, { from: 'a/1', to: 'a/1' })
    assert.deepEqual(await files(), ['a/1', 'a/2'])
  })
})
