import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { BackupJson, ExpiredJson, RetentionJson } from '../api/contract.ts'
import { getText, openTestStore, putText, sealCommit } from '../versioning/testing/store.ts'
import { openCli, type TestCli } from './testing/cli.ts'

describe('sluice backup', () => {
  let cli: TestCli
  let folder: string
  const images = { kind: 'branch', repo: 'images', branch: 'master' } as never

  before(async () => {
    cli = await openCli()
    folder = await mkdtemp(join(tmpdir(), 'sluice-backup-cli-'))
    await cli.stack.versioning.createBranch(images)
    await putText(cli.stack.versioning, images, 'a.txt', 'one '.repeat(5000))
    await sealCommit(cli.stack.versioning, images)
  })
  after(async () => {
    await cli.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('makes backups at a place, lists and verifies them, and removes old ones', async () => {
    const place = join(folder, 'place')
    assert.match(await cli.ok('backup', 'create', place), /^backup 000001-\S+: .* were sent\n$/)
    const second = await cli.json<{ backup: BackupJson; bytesSent: number }>('backup', 'create', place)
    assert.equal(second.backup.keys, true)
    const listed = await cli.json<BackupJson[]>('backup', 'list', place)
    assert.deepEqual(
      listed.map(({ id }) => id.slice(0, 6)),
      ['000001', '000002'],
    )
    assert.match(await cli.ok('backup', 'list', place), /^BACKUP +MADE/)
    assert.match(await cli.ok('backup', 'verify', place, '--all'), /^2 backup\(s\), .*: all as they were written\n$/)
    const third = await cli.ok('backup', 'create', place, '--keep', '1', '--without-keys')
    assert.match(third, /\n2 backup\(s\) removed, .* freed\n$/)
    const [left, ...more] = await cli.json<BackupJson[]>('backup', 'list', place)
    assert.deepEqual([left?.id.slice(0, 6), left?.keys, more.length], ['000003', false, 0])
  })

  it('refuses a folder with files of somebody else, and says why', async () => {
    const place = await mkdtemp(join(folder, 'foreign-'))
    await writeFile(join(place, 'notes'), 'mine')
    const refused = await cli.run(['backup', 'create', place])
    assert.equal(refused.code, 1)
    assert.match(refused.err, /notes is a file that is no object of this store: take an empty folder/)
    assert.equal(await readFile(join(place, 'notes'), 'utf8'), 'mine')
  })

  it('restores into an empty folder without a server, and says what it lacks', async () => {
    const place = join(folder, 'place-2')
    await cli.ok('backup', 'create', place, '--without-keys')
    const data = join(folder, 'restored')
    const { code, out, err } = await cli.run(['backup', 'restore', place, '--data', data])
    assert.equal(code, 0, err)
    assert.match(out, /restored holds backup 000001-/)
    assert.match(err, /no keys/)
    const again = await cli.run(['backup', 'restore', place, '--data', data])
    assert.equal(again.code, 1)
    assert.match(again.err, /is not empty/)
    const store = await openTestStore({ folder: data })
    assert.equal(await getText(store.versioning, images, 'a.txt'), 'one '.repeat(5000))
    // A store that is not running is backed up too, to a place of its own.
    await store.versioning.close()
    await store.db.close()
    const own = join(folder, 'own')
    assert.match(await cli.ok('backup', 'create', own, '--data', data), /^backup 000001-/)
    const [listed] = JSON.parse((await cli.run(['backup', 'list', own, '--data', data, '--json'])).out) as BackupJson[]
    assert.equal(listed?.id.slice(0, 6), '000001')
    const refused = await cli.run(['backup', 'create', place, '--data', data])
    assert.deepEqual([refused.code, /--take-over/.test(refused.err)], [1, true])
    assert.match(await cli.ok('backup', 'create', place, '--data', data, '--take-over'), /^backup 000002-/)
    assert.match(await cli.ok('backup', 'remove', place, '1', '--data', data), /^1 backup\(s\) removed/)
  })

  it('ends with 1 when a backup is damaged, and names what is', async () => {
    const place = join(folder, 'place-3')
    await cli.ok('backup', 'create', place)
    const [file] = (await readdir(join(place, 'packs'), { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    )
    const path = join(file!.parentPath, file!.name)
    const bytes = await readFile(path)
    bytes[100]! ^= 4
    await writeFile(path, bytes)
    const { code, out } = await cli.run(['backup', 'verify', place])
    assert.equal(code, 1)
    assert.match(out, /^damaged {2}packs\/.*not those that were written/)
    const restore = await cli.run(['backup', 'restore', place, '--data', join(folder, 'damaged')])
    assert.equal(restore.code, 1)
    assert.match(restore.err, /stored data is damaged/)
    assert.deepEqual((await readdir(join(folder, 'damaged'))).includes('restore.json'), true)
  })

  it('refuses what can not be, and says what can', async () => {
    const inside = await cli.run(['backup', 'create', join(cli.stack.folder, 'inside')])
    assert.match(inside.err, /lies in the data folder/)
    const link = join(folder, 'link')
    await symlink(cli.stack.folder, link)
    for (const by of [join(link, 'inside'), join(cli.stack.folder, '..inside')]) {
      assert.match((await cli.run(['backup', 'create', by])).err, /lies in the data folder/, by)
    }
    const nowhere = await cli.run(['backup', 'create', 's3://bucket/folder'])
    assert.match(nowhere.err, /needs credentials/)
    const unknown = await cli.run(['backup', 'create', 'ftp://host/folder'])
    assert.equal(unknown.code, 1)
    assert.match((await cli.run(['backup', 'remove', join(folder, 'place')])).err, /name the backups/)
    for (const command of ['list', 'verify']) {
      const typo = await cli.run(['backup', command, join(folder, 'no-such-folder')])
      assert.equal(typo.code, 1)
      assert.match(typo.err, /there is no folder/)
    }
    const empty = await mkdtemp(join(folder, 'empty-'))
    assert.match((await cli.run(['backup', 'list', empty])).out, /^BACKUP/)
    assert.match((await cli.run(['backup', 'verify', empty, '--all'])).err, /there is no backup/)
    assert.match((await cli.run(['backup', 'restore', empty, '--data', join(folder, 'y')])).err, /no backups in/)
    const missing = await cli.run(['backup', 'create', join(folder, 'x'), '--data', join(folder, 'no-store')])
    assert.equal(missing.code, 1)
  })
})

describe('sluice repo retention', () => {
  let cli: TestCli
  const images = { kind: 'branch', repo: 'images', branch: 'master' } as never

  before(async () => {
    cli = await openCli()
    await cli.stack.versioning.createBranch(images)
    for (const text of ['one', 'two', 'three']) {
      await putText(cli.stack.versioning, images, 'a.txt', text)
      await sealCommit(cli.stack.versioning, images)
    }
  })
  after(() => cli.close())

  it('shows, previews, sets and clears what is kept', async () => {
    assert.match(await cli.ok('repo', 'retention', 'images'), /all that a branch or a tag leads to/)
    const would = await cli.json<ExpiredJson[]>('repo', 'retention', 'images', '--keep-commits', '1', '--preview')
    assert.deepEqual(
      would.map(({ why }) => why),
      ['retention', 'retention'],
    )
    assert.deepEqual(await cli.json<RetentionJson>('repo', 'retention', 'images'), {})
    const set = await cli.json<RetentionJson>('repo', 'retention', 'images', '--keep-commits', '2', '--keep-days', '30')
    assert.deepEqual(set, { keepCommits: 2, keepDays: 30 })
    assert.match(await cli.ok('repo', 'retention', 'images'), /30 day\(s\)[\s\S]*newest 2 commit/)
    assert.deepEqual(await cli.json<ExpiredJson[]>('repo', 'retention', 'images', '--preview'), [])
    assert.deepEqual(await cli.json<RetentionJson>('repo', 'retention', 'images', '--clear'), {})
    assert.equal((await cli.run(['repo', 'retention', 'images', '--keep-days', '0'])).code, 2)
    assert.equal((await cli.run(['repo', 'retention', 'nothing'])).code, 1)
    assert.equal((await cli.run(['repo', 'retention', 'images', '--clear', '--preview'])).code, 2)
  })
})
