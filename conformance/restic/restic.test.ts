import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { findClient } from '../shared/clients.ts'
import { followGuide } from '../shared/guides.ts'
import { commitsOf, headOf } from '../shared/history.ts'
import { filesIn, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, openBench } from '../support.ts'

const client = await findClient('restic', 'version')
const MIB = 1024 * 1024

describe(client.title, { skip: client.missing }, () => {
  let bench: Bench
  const file = (name: string) => join(bench.folder, name)
  const environment = () => ({
    ...bench.server.clientEnvironment,
    RESTIC_PASSWORD: 'a password',
    RESTIC_CACHE_DIR: file('cache'),
  })
  const at = (bucket: string, line: string) => ['-r', `s3:${bench.server.s3Url}/${bucket}`, ...line.split(' ')]
  const restic = (bucket: string, line: string) => bench.ok('restic', at(bucket, line), { environment: environment() })
  const refused = (bucket: string, line: string) =>
    bench.fails('restic', at(bucket, line), { environment: environment() })
  const snapshots = async (bucket: string, more = ''): Promise<{ id: string }[]> =>
    JSON.parse(await restic(bucket, `snapshots --json${more}`))
  const restored = async (bucket: string, snapshot: string, name: string, more = '') => {
    await rm(file(name), { recursive: true, force: true })
    await restic(bucket, `restore ${snapshot} --target ${name}${more}`)
    return filesIn(file(join(name, 'tree')))
  }

  before(async () => {
    // Between its lock and its data it computes; on a busy machine that takes longer than a branch is idle by default.
    bench = await openBench({ SLUICE_BATCH_IDLE_MS: '15000' })
    await writeFolder(file('tree'), 60)
    await writeOddNames(file('tree/odd'))
    await writeFile(file('tree/large'), bytesNamed('restic', 30 * MIB))
  })
  after(() => bench?.close())

  it('does what its guide says', () => followGuide(bench, 'restic'))

  it('makes its repository, also the bucket, once', async () => {
    await restic('master.backups', 'init')
    assert.match(await refused('master.backups', 'init'), /already initialized|already exists/)
    assert.match(
      await bench.ok('restic', at('master.backups', 'cat config'), { environment: environment() }),
      /chunker_polynomial/,
    )
    assert.match(
      await bench.fails('restic', at('master.backups', 'snapshots'), {
        environment: { ...environment(), RESTIC_PASSWORD: 'wrong' },
      }),
      /wrong password/,
    )
  })

  it('backs up as one commit, checks all of it, and restores byte for byte', async () => {
    const before = (await commitsOf(bench, 'backups')).length
    await restic('master.backups', 'backup tree')
    assert.equal((await commitsOf(bench, 'backups')).length, before + 1)
    await restic('master.backups', 'check --read-data')
    assert.equal((await snapshots('master.backups')).length, 1)
    assert.deepEqual(await restored('master.backups', 'latest', 'back'), await filesIn(file('tree')))
  })

  it('backs up only what changed, and still restores the snapshot before', async () => {
    const old = await filesIn(file('tree'))
    await writeFile(file('tree/d0/f0'), 'changed')
    await rm(file('tree/d1'), { recursive: true })
    const said = await restic('master.backups', 'backup tree')
    assert.match(said, /Files:\s+0 new,\s+1 changed/)
    const both = await snapshots('master.backups')
    assert.equal(both.length, 2)
    assert.deepEqual(await restored('master.backups', both[0]?.id ?? '', 'back.old'), old)
    assert.deepEqual(await restored('master.backups', 'latest', 'back.new'), await filesIn(file('tree')))
    assert.match(await restic('master.backups', `diff ${both[0]?.id} ${both[1]?.id}`), /M .*d0\/f0/)
    assert.match(await restic('master.backups', 'find f5'), /d0\/f5/)
  })

  it('reads by a commit what it has forgotten and pruned since', async () => {
    const commit = await headOf(bench, 'backups')
    const [oldest] = await snapshots('master.backups')
    await restic('master.backups', 'forget --keep-last 1 --prune --max-unused 0')
    await restic('master.backups', 'check --read-data')
    assert.equal((await snapshots('master.backups')).length, 1)
    assert.match(await refused('master.backups', `restore ${oldest?.id} --target gone`), /no matching ID|not found/)
    // A commit can't take a lock file.
    const bucket = `${commit}.backups`
    assert.equal((await snapshots(bucket, ' --no-lock --no-cache')).length, 2)
    await restic(bucket, 'check --no-lock --read-data --no-cache')
    const found = await restored(bucket, oldest?.id ?? '', 'back.commit', ' --no-lock --no-cache')
    assert.ok(Object.keys(found).some((path) => path === 'd1/f1'))
    // It goes on trying for a minute; what it was told, it says at once.
    const refusal = await bench.fails('restic', at(bucket, 'backup tree'), {
      environment: environment(),
      timeoutMs: 8_000,
    })
    assert.match(refusal, /commits never change/)
  })

  it('backs up a pipe, copies between repositories, and works from several processes at once', async () => {
    const args = at('master.backups', 'backup --stdin --stdin-filename piped')
    await bench.ok('restic', args, { environment: environment(), input: 'through a pipe' })
    assert.equal(await restic('master.backups', 'dump latest piped'), 'through a pipe')
    await Promise.all(['d2', 'd3', 'd4'].map((name) => restic('master.backups', `backup tree/${name} --tag ${name}`)))
    await restic('master.backups', 'check --read-data')
    assert.equal((await snapshots('master.backups', ' --tag d2 --tag d3 --tag d4')).length, 3)
    await restic('master.second', 'init')
    const second = at('master.second', `copy --from-repo s3:${bench.server.s3Url}/master.backups latest`)
    await bench.ok('restic', second, { environment: { ...environment(), RESTIC_FROM_PASSWORD: 'a password' } })
    assert.equal((await snapshots('master.second')).length, 1)
    await restic('master.second', 'check --read-data')
  })

  it('keeps repositories in folders of a bucket, and removes stale locks', async () => {
    await restic('master.backups/a/folder', 'init')
    await restic('master.backups/a/folder', 'backup tree/d2')
    await restic('master.backups/a/folder', 'unlock --remove-all')
    await restic('master.backups/a/folder', 'check')
    assert.equal((await restic('master.backups/a/folder', 'list locks')).trim(), '')
  })
})
