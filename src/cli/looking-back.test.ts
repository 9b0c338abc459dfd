import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { CommitJson, DifferenceJson, DiffStatJson, FileChangeJson, PlacedJson } from '../api/contract.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  // On a busy machine, commands may come further apart than a batch is idle; these commits are finished by hand.
  cli = await openCli({ idleMs: 600_000 })
})
after(() => cli.close())

const put = (repo: string, path: string, text: string) =>
  cli.run(['file', 'put', `${repo}@master:${path}`], { input: text })

async function commit(repo: string, files: Readonly<Record<string, string>>): Promise<string> {
  for (const [path, text] of Object.entries(files)) assert.equal((await put(repo, path, text)).code, 0)
  return (await cli.ok('commit', 'finish', `${repo}@master`)).trim()
}

describe('sluice commit list', () => {
  it('shows a branch with what is behind it, by count and time, and the log of a file or folder', async () => {
    await cli.ok('repo', 'create', 'log')
    const one = await commit('log', { 'a/x': '1', b: '1' })
    const two = await commit('log', { b: '22' })
    await cli.ok('branch', 'create', 'log@side', '--head', one)
    const ids = async (...words: string[]) =>
      (await cli.json<CommitJson[]>('commit', 'list', ...words)).map(({ id }) => id)
    assert.deepEqual(await ids('log@master'), [two, one])
    assert.deepEqual(await ids('log@side'), [one])
    assert.deepEqual(await ids('log', '-n', '1'), [two])
    assert.deepEqual(await ids(`log@${two}^`), [one])
    assert.deepEqual(await ids('log@master', '--until', '2020-01-01'), [])
    assert.deepEqual(await ids('log@master', '--since', '2020-01-01', '--until', '2999-12-31'), [two, one])
    assert.deepEqual(await ids('log', '--since', '2020-01-01T00:00Z'), [two, one])
    assert.match((await cli.run(['commit', 'list', 'log', '--since', 'once'])).err, /"once" is not a time/)
    assert.match((await cli.run(['commit', 'list', 'log@nobody'])).err, /no branch nobody/)

    const changes = await cli.json<FileChangeJson[]>('commit', 'list', 'log@master:b')
    assert.deepEqual(
      changes.map(({ commit, difference, growthBytes }) => [commit.id, difference?.kind, growthBytes]),
      [
        [two, 'changed', 1],
        [one, 'added', 1],
      ],
    )
    assert.match(await cli.ok('commit', 'list', 'log:a/'), new RegExp(`^COMMIT.*\n${one} .*\\+1 -0 ~0 .*\\+1 B`))
    assert.deepEqual(await cli.json('commit', 'list', 'log@master:none'), [])
  })

  it('finds what was there at a time, in every command that takes a revision', async () => {
    await cli.ok('repo', 'create', 'times')
    await commit('times', { a: 'old' })
    const now = new Date().toISOString()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await commit('times', { a: 'new' })
    assert.equal(await cli.ok('file', 'get', `times@{${now}}:a`), 'old')
    assert.equal(await cli.ok('file', 'get', 'times@master@{2999-01-01T10:00Z}:a'), 'new')
    assert.match(await cli.ok('diff', `times@{${now}}`, 'times@master'), /~ a {2}3 B → 3 B/)
    assert.match(
      (await cli.run(['file', 'list', 'times@{2020-01-01}'])).err,
      /no finished commit yet at 2020-01-01T23:59/,
    )
    assert.match((await cli.run(['file', 'put', 'times@{2020-01-01}:a'])).err, /only a branch can be written to/)
    await cli.ok('restore', `times@{${now}}`)
    assert.equal(await cli.ok('file', 'get', 'times@master:a'), 'old')
  })
})

describe('sluice diff', () => {
  it('counts, pages, names and looks into transactions', async () => {
    await cli.ok('repo', 'create', 'diffs')
    await commit('diffs', { 'a/1': 'x', b: 'y' })
    const stat = await cli.json<DiffStatJson[]>('diff', '--stat', 'empty', 'diffs@master')
    assert.deepEqual(
      stat.map(({ path, added }) => [path, added.files]),
      [
        ['a/', 1],
        ['', 1],
        [null, 2],
      ],
    )
    assert.match(await cli.ok('diff', '--stat', 'empty', 'diffs@master'), /a\/ +1 \(1 B\).*\n.*\nall +2 \(2 B\)/)
    assert.equal(await cli.ok('diff', '--name-only', 'empty', 'diffs@master'), 'a/1\nb\n')
    assert.equal(await cli.ok('diff', '--name-only', '-n', '1', '--after', 'a/1', 'empty', 'diffs@master'), 'b\n')
    assert.equal((await cli.run(['diff', '--stat', '-n', '1', 'diffs@master'])).code, 2)
    await cli.ok('transaction', 'start', 'diffs@master', 'job')
    const { repo, branch } = { repo: 'diffs', branch: 'tx-job.master' }
    const at = { repo: repo as never, branch: branch as never }
    await cli.stack.versioning.delete(at, 'b' as never)
    const found = await cli.json<DifferenceJson[]>('diff', `${repo}@${branch}`)
    assert.deepEqual(
      found.map(({ kind, path }) => [kind, path]),
      [['deleted', 'b']],
    )
    assert.deepEqual(await cli.json('diff', 'diffs@master', `${repo}@tx-job`), found)
    await cli.ok('transaction', 'abort', 'diffs@master', 'job')
    assert.match((await cli.run(['diff', `${repo}@${branch}`])).err, /there is no transaction tx-job\.master\.diffs/)
  })
})

describe('sluice file mv and cp', () => {
  it('moves and copies files and folders, and says what is in the way', async () => {
    await cli.ok('repo', 'create', 'from')
    await cli.ok('repo', 'create', 'to')
    await commit('from', { 'a/1': 'x', 'a/2': 'y', f: 'z' })
    assert.match(
      await cli.ok('file', 'mv', 'from@master:a/', 'from@master:b'),
      /^moved 2 files, 2 B: commit [0-9a-f]{32}\n/,
    )
    await cli.ok('file', 'mv', 'from@master:f', 'from@master:b/')
    assert.equal(await cli.ok('file', 'get', 'from@master:b/f'), 'z')
    const copied = await cli.json<PlacedJson>('file', 'cp', '-r', 'from@master', 'to@master:in/', '-m', 'brought')
    assert.deepEqual([copied.files, copied.commit.message, copied.commit.repo], [3, 'brought', 'to'])
    assert.equal(await cli.ok('file', 'get', 'to@master:in/b/1'), 'x')
    const again = await cli.run(['file', 'cp', 'from@master:b/f', 'to@master:in/b/'])
    assert.equal(again.code, 1)
    assert.match(again.err, /in\/b\/f would be replaced; nothing was changed/)
    await cli.ok('file', 'cp', '--force', 'from@master:b/f', 'to@master:in/b/')
    for (const words of [
      ['mv', 'from@master:b/', 'to@master:b/'],
      ['cp', 'from@master:b/', 'to@master:c/'],
      ['mv', 'from@master', 'from@master:x/'],
      ['mv', 'from@master^:b/', 'from@master:c/'],
    ]) {
      assert.equal((await cli.run(['file', ...words])).code, 2, words.join(' '))
    }
    assert.match(
      (await cli.run(['file', 'mv', 'from@master:b/', 'from@master:b/c/'])).err,
      /can't be moved into itself/,
    )
    assert.match((await cli.run(['file', 'mv', 'from@master:none/', 'from@master:c/'])).err, /there is no file none\//)
    const said: [string[], RegExp][] = [
      [
        ['file', 'mv', 'from@master:b', 'from@master:c'],
        /there is no file b.*; a folder ends in a slash: from@master:b\/$/,
      ],
      [['file', 'mv', 'from@master:b/', 'from@master:b/'], /b\/ is to be moved to where it is: choose another place/],
      [
        ['file', 'mv', 'from@master:b/'],
        /missing .*repo@branch:to.*\nusage: sluice file mv .*<repo@branch:to>; --help/,
      ],
      [['mv', 'from@master:b/'], /unknown command 'mv': is `sluice file mv` meant\?/],
    ]
    for (const [words, text] of said) assert.match((await cli.run(words)).err.trim(), text)
  })
})
