import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { findClient } from '../shared/clients.ts'
import { followGuide, guideCommand } from '../shared/guides.ts'
import { commitsOf, headOf } from '../shared/history.ts'
import { filesIn, ODD_NAMES, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, openBench } from '../support.ts'

const client = await findClient('s5cmd', 'version')
const MIB = 1024 * 1024

describe(client.title, { skip: client.missing }, () => {
  let bench: Bench
  const file = (name: string) => join(bench.folder, name)
  const words = (line: string) => {
    const [, ...where] = guideCommand('s5cmd', 's5cmd ', bench.server).slice(0, 3)
    return [...where, '--retry-count', '0', ...line.split(' ')]
  }
  const s5cmd = (line: string, ...more: string[]) => bench.ok('s5cmd', [...words(line), ...more])
  const refused = (line: string, ...more: string[]) => bench.fails('s5cmd', [...words(line), ...more])
  before(async () => {
    bench = await openBench()
    await s5cmd('mb s3://master.box')
    await writeFolder(file('tree'), 30)
  })
  after(() => bench?.close())

  it('does what its guide says', () => followGuide(bench, 's5cmd'))

  it('copies a folder with 256 workers as one commit, and back', async () => {
    await s5cmd('mb s3://master.bulk')
    await writeFolder(file('bulk'), 500)
    await s5cmd('cp bulk/ s3://master.bulk/in/')
    const commits = await commitsOf(bench, 'bulk')
    assert.deepEqual([commits.length, commits[0]?.files], [1, 500])
    await s5cmd('cp', 's3://master.bulk/in/*', 'bulk.back/')
    assert.deepEqual(await filesIn(file('bulk.back')), await filesIn(file('bulk')))
  })

  it('syncs what changed and what is gone as one commit', async () => {
    await s5cmd('mb s3://master.synced')
    await s5cmd('sync tree/ s3://master.synced/')
    assert.equal((await commitsOf(bench, 'synced')).length, 1)
    assert.equal(await s5cmd('sync --size-only tree/ s3://master.synced/'), '')
    await s5cmd('sync', 's3://master.synced/*', 'changed/')
    assert.deepEqual(await filesIn(file('changed')), await filesIn(file('tree')))
    await writeFile(file('changed/d1/f1'), 'of another size')
    await rm(file('changed/d2'), { recursive: true })
    const said = await s5cmd('sync --size-only --delete changed/ s3://master.synced/')
    assert.deepEqual([said.match(/^cp /gm)?.length, said.match(/^rm /gm)?.length], [1, 6], said)
    assert.equal((await commitsOf(bench, 'synced')).length, 2)
    await s5cmd('sync', 's3://master.synced/*', 'synced.back/')
    assert.deepEqual(await filesIn(file('synced.back')), await filesIn(file('changed')))
  })

  it('sends 40 MiB in parts and fetches them by ranges', async () => {
    const large = bytesNamed('s5cmd', 40 * MIB + 11)
    await writeFile(file('large'), large)
    await s5cmd('cp --part-size 5 --concurrency 8 large s3://master.box/large')
    await s5cmd('cp --part-size 5 --concurrency 8 s3://master.box/large large.back')
    assert.ok((await readFile(file('large.back'))).equals(large))
    await s5cmd('cp s3://master.box/large s3://master.box/large.copy')
    await s5cmd('cp s3://master.box/large.copy large.copied')
    assert.ok((await readFile(file('large.copied'))).equals(large))
  })

  it('reads and writes by pipes, overwrites, and leaves what is there where it is told to', async () => {
    const piped = (input: string, line: string) => bench.ok('s5cmd', words(line), { input })
    await piped('through a pipe', 'pipe s3://master.box/piped')
    assert.equal(await s5cmd('cat s3://master.box/piped'), 'through a pipe')
    await piped('again', 'pipe s3://master.box/piped')
    assert.equal(await s5cmd('cat s3://master.box/piped'), 'again')
    await writeFile(file('other'), 'other')
    await s5cmd('cp --no-clobber other s3://master.box/piped')
    assert.equal(await s5cmd('cat s3://master.box/piped'), 'again')
  })

  it('moves, lists, sums up, shows heads and removes', async () => {
    await s5cmd('cp tree/d0/ s3://master.box/a/')
    await s5cmd('mv', 's3://master.box/a/*', 's3://master.box/b/')
    assert.match(await refused('ls s3://master.box/a/*'), /no object found/)
    assert.equal((await s5cmd('ls s3://master.box/b/*')).trim().split('\n').length, 6)
    assert.match(await s5cmd('ls s3://master.box/'), /DIR {2}b\//)
    assert.match(await s5cmd('ls'), /s3:\/\/master\.box\n/)
    assert.match(await s5cmd('du s3://master.box/b/*'), /bytes in 6 objects/)
    await writeFile(file('plain'), 'plain')
    await s5cmd('cp --content-type text/x-odd plain s3://master.box/typed')
    assert.match(await s5cmd('head s3://master.box/typed'), /text\/x-odd/)
    await s5cmd('rm', 's3://master.box/b/*')
    assert.match(await refused('ls s3://master.box/b/*'), /no object found/)
  })

  it('runs a list of commands at once', async () => {
    const lines = Array.from({ length: 40 }, (_, n) => `cp plain s3://master.run/${n}`)
    await writeFile(file('plain'), 'plain')
    await s5cmd('mb s3://master.run')
    await bench.ok('s5cmd', words('run'), { input: `${lines.join('\n')}\n` })
    const commits = await commitsOf(bench, 'run')
    assert.deepEqual([commits.length, commits[0]?.files], [1, 40])
  })

  it('takes odd names as they are', async () => {
    // What s5cmd itself reads as a pattern is not among them.
    const names = ODD_NAMES.filter((name) => !/[*?]/.test(name))
    await writeOddNames(file('odd'), names)
    await s5cmd('mb s3://master.odd')
    await s5cmd('cp odd/ s3://master.odd/')
    const listed = (await s5cmd('ls --show-fullpath s3://master.odd/*')).trim().split('\n')
    assert.deepEqual(listed.map((path) => path.replace('s3://master.odd/', '')).sort(), [...names].sort())
    await s5cmd('cp', 's3://master.odd/*', 'odd.back/')
    assert.deepEqual(await filesIn(file('odd.back')), await filesIn(file('odd')))
    for (const name of names) {
      await s5cmd('mv', '--raw', `s3://master.odd/${name}`, `s3://master.odd/moved/${name}`)
      assert.equal(await s5cmd('cat', '--raw', `s3://master.odd/moved/${name}`), name)
    }
    await s5cmd('rm', 's3://master.odd/*')
    assert.match(await refused('ls s3://master.odd/*'), /no object found/)
  })

  it('reads a commit after the branch moved on, and can not write to it', async () => {
    await s5cmd('mb s3://master.history')
    await s5cmd('cp tree/ s3://master.history/')
    const commit = await headOf(bench, 'history')
    await s5cmd('rm', 's3://master.history/d1/*')
    await s5cmd('cp', `s3://${commit}.history/*`, 'history.back/')
    assert.deepEqual(await filesIn(file('history.back')), await filesIn(file('tree')))
    assert.match(await refused(`cp tree/d0/f0 s3://${commit}.history/no`), /AccessDenied/)
    assert.match(await refused(`rm s3://${commit}.history/d0/f0`), /AccessDenied/)
    await s5cmd('cp', `s3://${commit}.history/d1/*`, 's3://master.history/d1/')
    assert.equal((await s5cmd('ls s3://master.history/d1/*')).trim().split('\n').length, 6)
  })

  it('makes a link that works without keys', async () => {
    await writeFile(file('linked'), 'linked')
    await s5cmd('cp linked s3://master.box/linked')
    const link = (await s5cmd('presign --expire 1h s3://master.box/linked')).trim()
    assert.equal(await (await fetch(link)).text(), 'linked')
  })

  it('removes a bucket only when it is empty', async () => {
    await mkdir(file('none'), { recursive: true })
    await s5cmd('mb s3://branch.tmp')
    await s5cmd('cp linked s3://branch.tmp/x')
    assert.match(await refused('rb s3://branch.tmp'), /BucketNotEmpty/)
    await s5cmd('rm s3://branch.tmp/x')
    await s5cmd('rb s3://branch.tmp')
    assert.doesNotMatch(await s5cmd('ls'), /branch\.tmp/)
  })
})
