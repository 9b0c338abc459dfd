import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { BranchJson, CommitJson, MergeConflictJson, MergeJson, TagJson } from '../api/contract.ts'
import type { OnWork, WorkStep } from '../versioning/index.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  // Batches are sealed when the tests say so.
  cli = await openCli({ idleMs: 600_000 })
})
after(() => cli.close())

async function put(address: string, text: string): Promise<void> {
  const { code, err } = await cli.run(['file', 'put', address], { input: text })
  assert.equal(code, 0, err)
}

/** A repo whose branches `master` and `side` both have these files. */
async function fork(repo: string, ...paths: string[]): Promise<void> {
  await cli.ok('repo', 'create', repo)
  for (const path of paths) await put(`${repo}@master:${path}`, '0')
  await cli.ok('commit', 'finish', `${repo}@master`)
  await cli.ok('branch', 'create', `${repo}@side`, '--head', 'master')
}

describe('sluice merge', () => {
  it('says what it would do, does it, and says when there is nothing to do', async () => {
    await fork('merge', 'a')
    await put('merge@side:b', '1')
    await put('merge@master:c', '2')
    assert.equal(
      await cli.ok('merge', 'merge@master', 'side', '--dry-run'),
      'merge@master would have 1 file(s) added, 0 changed, 0 deleted\n',
    )
    assert.match(
      await cli.ok('merge', 'merge@master', 'merge@side', '-m', 'bring it'),
      /^[0-9a-f]{32} on merge@master: 1 file\(s\) added, 0 changed, 0 deleted\n$/,
    )
    const [newest] = await cli.json<CommitJson[]>('commit', 'list', 'merge@master')
    assert.deepEqual([newest?.message, newest?.parents.length], ['bring it', 2])
    assert.match(await cli.ok('merge', 'merge@master', 'side'), /part of merge@master already/)
    const foreign = await cli.run(['merge', 'merge@master', 'other@side'])
    assert.equal(foreign.code, 2)
    assert.match(foreign.err, /of another repo/)
  })

  it('shows conflicts with their sides and how to decide them', async () => {
    await fork('sides', 'a', 'b', 'c')
    for (const path of ['a', 'b', 'c']) {
      await put(`sides@master:${path}`, 'ours')
      await put(`sides@side:${path}`, 'theirs')
    }
    const refused = await cli.run(['merge', 'sides@master', 'side'])
    assert.equal(refused.code, 1)
    assert.match(refused.err, /^CONFLICT +BASE +OURS +THEIRS\na +1 B \w{8} +4 B \w{8} +6 B \w{8}\n/)
    assert.match(refused.err, /both sides changed 3 file\(s\), and nothing was changed: --ours or --theirs/)
    const dry = await cli.run(['merge', 'sides@master', 'side', '--dry-run', '--take', 'ours:a'])
    assert.equal(dry.code, 1)
    const dryJson = await cli.run(['merge', 'sides@master', 'side', '--dry-run', '--json'])
    assert.equal(dryJson.code, 1)
    assert.equal((JSON.parse(dryJson.out) as { conflictsTotal: number }).conflictsTotal, 3)
    assert.match(dry.out, /would have 0 file\(s\) added.*\nCONFLICT.*\nb .*\nc /)
    assert.equal((await cli.run(['merge', 'sides@master', 'side', '--take', 'mine:a'])).code, 2)
    assert.equal((await cli.run(['merge', 'sides@master', 'side', '--ours', '--theirs'])).code, 2)
    const merged = await cli.json<MergeJson>(
      'merge',
      'sides@master',
      'side',
      ...['--take', 'ours:a', '--take', 'ours:b', '--theirs'],
    )
    assert.ok(merged.kind === 'merged')
    const texts = ['a', 'b', 'c'].map((path) => cli.ok('file', 'get', `sides@master:${path}`))
    assert.deepEqual(await Promise.all(texts), ['ours', 'ours', 'theirs'])
  })

  it('takes a folder from one side, and prints conflicts as JSON where that is asked for', async () => {
    await fork('folders', 'a', 'raw/1', 'raw/2')
    for (const path of ['a', 'raw/1', 'raw/2']) {
      await put(`folders@master:${path}`, 'ours')
      await put(`folders@side:${path}`, 'theirs')
    }
    const refused = await cli.run(['merge', 'folders@master', 'side', '--take', 'theirs:raw/', '--json'])
    assert.equal(refused.code, 1)
    const { kind, conflicts, conflictsTotal } = JSON.parse(refused.out) as {
      kind: string
      conflicts: MergeConflictJson[]
      conflictsTotal: number
    }
    assert.deepEqual([kind, conflictsTotal, conflicts.map(({ path }) => path)], ['conflict', 1, ['a']])
    assert.deepEqual([conflicts[0]?.ours?.sizeBytes, conflicts[0]?.theirs?.sizeBytes], [4, 6])
    assert.match(refused.err, /^sluice: both sides changed 1 file\(s\), and nothing was changed: [^\n]+\n$/)
    const needless = await cli.run(['merge', 'folders@master', 'side', '--ours', '--take', 'theirs:none/'])
    assert.match(needless.err, /a side was chosen for none\/, where there is no conflict/)
    await cli.ok('merge', 'folders@master', 'side', '--ours', '--take', 'theirs:raw/')
    const texts = ['a', 'raw/1', 'raw/2'].map((path) => cli.ok('file', 'get', `folders@master:${path}`))
    assert.deepEqual(await Promise.all(texts), ['ours', 'theirs', 'theirs'])
  })

  it('says on standard error how far it is while it lasts, and prints the same as else', async () => {
    await fork('long', 'a')
    const { merges, moves } = cli.stack.versioning
    const { merge } = merges
    const { move } = moves
    // Long enough to be told of: what it does is what it always does.
    const slowly = async (onWork: OnWork | undefined, step: WorkStep) => {
      onWork?.(step)
      await pause(2_100)
    }
    Object.assign(merges, {
      merge: async (...args: Parameters<typeof merge>) => {
        await slowly(args[2]?.onWork, { step: 'merging', done: 40_000 })
        return merge.apply(merges, args)
      },
    })
    Object.assign(moves, {
      move: async (...args: Parameters<typeof move>) => {
        await slowly(args[1].onWork, { step: 'placing', done: 5_000 })
        return move.apply(moves, args)
      },
    })
    try {
      await put('long@side:b', '1')
      const merged = await cli.run(['merge', 'long@master', 'side', '--json'])
      assert.deepEqual([merged.code, merged.err], [0, 'merging: 40000 difference(s) compared\n'])
      assert.equal((JSON.parse(merged.out) as MergeJson).kind, 'merged')
      await put('long@side:c', '1')
      await put('long@side:b', '2')
      await put('long@master:b', '3')
      const refused = await cli.run(['merge', 'long@master', 'side'])
      assert.equal(refused.code, 1)
      assert.match(
        refused.err,
        /^merging: 40000 difference\(s\) compared\nCONFLICT.*\nb .*\nsluice: both sides changed 1/,
      )
      const moved = await cli.run(['file', 'mv', 'long@master:a', 'long@master:moved'])
      assert.deepEqual([moved.code, moved.err], [0, 'placing: 5000 file(s)\n'])
      assert.match(moved.out, /^moved 1 file/)
    } finally {
      Object.assign(merges, { merge })
      Object.assign(moves, { move })
    }
  })

  it('takes a commit back', async () => {
    await fork('back', 'a')
    await put('back@master:b', '1')
    assert.match(await cli.ok('revert', 'back@master'), /on back@master: 0 file\(s\) added, 0 changed, 1 deleted/)
    assert.equal(await cli.ok('file', 'list', 'back@master', '--json').then((out) => /"b"/.test(out)), false)
  })
})

describe('sluice branch move, protect and unprotect', () => {
  it('points a branch elsewhere and says what it left', async () => {
    await fork('moved', 'a')
    await put('moved@master:b', '1')
    await cli.ok('commit', 'finish', 'moved@master')
    const before = await cli.json<BranchJson>('branch', 'inspect', 'moved@master')
    const moved = await cli.run(['branch', 'move', 'moved@master', '--to', 'moved@master^', '--expect', before.head!])
    assert.equal(moved.code, 0)
    assert.match(moved.err, new RegExp(`what it held is moved@${before.head}: tag it`))
    const stale = await cli.run(['branch', 'move', 'moved@master', '--to', before.head!, '--expect', before.head!])
    assert.equal(stale.code, 1)
    assert.match(stale.err, /is not where it was expected/)
  })

  it('shows that a branch is protected, and why a write to it is refused', async () => {
    await fork('guarded', 'a')
    await cli.ok('branch', 'protect', 'guarded@master')
    assert.match(await cli.ok('branch', 'inspect', 'guarded@master'), /^Protected: +yes: only merges change it$/m)
    const refused = await cli.run(['file', 'put', 'guarded@master:a'], { input: 'x' })
    assert.match(refused.err, /protected: only merges change it/)
    await cli.ok('branch', 'unprotect', 'guarded@master')
    await put('guarded@master:a', 'x')
  })
})

describe('sluice tag', () => {
  it('names a commit, lists and shows it, and is let go of', async () => {
    await fork('tagged', 'a')
    await put('tagged@master:a', 'staged')
    assert.match(
      await cli.ok('tag', 'create', 'tagged@master', 'v1.0', '-m', 'the first'),
      /^tagged@v1\.0 is commit [0-9a-f]{32}, read at s3:\/\/v1\.0\.tagged\n$/,
    )
    await put('tagged@master:a', 'later')
    await cli.ok('commit', 'finish', 'tagged@master')
    assert.equal(await cli.ok('file', 'get', 'tagged@v1.0:a'), 'staged')
    const [tag] = await cli.json<TagJson[]>('tag', 'list', 'tagged')
    assert.deepEqual([tag?.name, tag?.message], ['v1.0', 'the first'])
    assert.match(await cli.ok('tag', 'inspect', 'tagged@v1.0'), /^Message: +the first$/m)
    assert.match((await cli.run(['tag', 'create', 'tagged@master', 'v1.0'])).err, /tags never move/)
    assert.match(
      (await cli.run(['restore', 'tagged@v1.0'])).err,
      /has no branch v1\.0: that is a tag, which never changes/,
    )
    await cli.ok('tag', 'delete', 'tagged@v1.0')
    assert.match((await cli.run(['tag', 'inspect', 'tagged@v1.0'])).err, /`sluice tag list REPO` shows/)
  })
})
