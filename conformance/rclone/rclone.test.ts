import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { followGuide } from '../shared/guides.ts'
import { commitsOf, headOf } from '../shared/history.ts'
import { missingFuse } from '../shared/mounts.ts'
import { filesIn, ODD_NAMES, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, md5, openBench } from '../support.ts'
import { findRclone, rcloneOn } from './rclone.ts'

const client = await findRclone()
const MIB = 1024 * 1024

describe(client.title, { skip: client.missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof rcloneOn>
  const file = (name: string) => join(bench.folder, name)
  before(async () => {
    bench = await openBench()
    cli = rcloneOn(bench)
    await cli.rclone('mkdir sluice:master.box')
    await writeFolder(file('tree'), 60)
  })
  after(() => bench?.close())

  it('does what its guide says', async () => {
    const noFuse = await missingFuse()
    await followGuide(bench, 'rclone', { except: ({ text }) => noFuse !== undefined && text.includes('rclone mount') })
  })

  it('copies a folder as one commit, and finds it equal', async () => {
    await cli.rclone('mkdir sluice:master.bulk')
    await writeFolder(file('bulk'), 300)
    await cli.rclone('copy bulk sluice:master.bulk/in --transfers=8')
    const commits = await commitsOf(bench, 'bulk')
    assert.deepEqual([commits.length, commits[0]?.files], [1, 300])
    await cli.rclone('check bulk sluice:master.bulk/in')
    await cli.rclone('check bulk sluice:master.bulk/in --download')
    await cli.rclone('copy sluice:master.bulk/in bulk.back --transfers=8')
    assert.deepEqual(await filesIn(file('bulk.back')), await filesIn(file('bulk')))
    assert.doesNotMatch(await cli.logged('copy bulk sluice:master.bulk/in'), /Copied/)
    assert.equal((await commitsOf(bench, 'bulk')).length, 1, 'a copy of what is there is no commit')
  })

  it('syncs what changed and what is gone as one commit, and nothing when asked what it would do', async () => {
    await cli.rclone('mkdir sluice:master.synced')
    await cli.rclone('sync tree sluice:master.synced')
    await cli.rclone('copy tree changed')
    await writeFile(file('changed/d1/f1'), 'changed')
    await writeFile(file('changed/d1/new'), 'new')
    await rm(file('changed/d2'), { recursive: true })
    await commitsOf(bench, 'synced')
    await cli.rclone('sync changed sluice:master.synced --dry-run')
    assert.equal((await commitsOf(bench, 'synced')).length, 1)
    const said = await cli.refused('check changed sluice:master.synced')
    assert.match(said, /d1\/f1/)
    assert.doesNotMatch(said, /d0\/f0/)
    const log = await cli.logged('sync changed sluice:master.synced')
    assert.equal(log.match(/: Copied/g)?.length, 2, log)
    assert.equal(log.match(/: Deleted/g)?.length, 12, log)
    await cli.rclone('check changed sluice:master.synced')
    assert.equal((await commitsOf(bench, 'synced')).length, 2)
    await cli.rclone('sync sluice:master.synced synced.back')
    assert.deepEqual(await filesIn(file('synced.back')), await filesIn(file('changed')))
  })

  it('works alike with LIST of version 2, --fast-list, --checksum, --size-only, --update and --no-head', async () => {
    await cli.rclone('mkdir sluice:master.ways')
    const ways = [
      '--s3-list-version=2',
      '--fast-list',
      '--checksum',
      '--size-only',
      '--update --use-server-modtime',
      '--s3-no-head',
      '--s3-no-check-bucket --s3-list-chunk=7',
      '--s3-disable-checksum',
      '--metadata',
    ]
    for (const [n, way] of ways.entries()) {
      await cli.rclone(`sync tree sluice:master.ways/${n} ${way}`)
      assert.doesNotMatch(await cli.logged(`sync tree sluice:master.ways/${n} ${way}`), /Copied/, way)
      await cli.rclone(`check tree sluice:master.ways/${n} ${way}`)
    }
  })

  it('keeps the modification time, and sets it', async () => {
    const [local] = await cli.json<{ ModTime: string }[]>('lsjson tree/d0/f0')
    await cli.rclone('copyto tree/d0/f0 sluice:master.box/timed')
    const [stored] = await cli.json<{ ModTime: string }[]>('lsjson sluice:master.box/timed')
    assert.equal(Date.parse(stored?.ModTime ?? ''), Date.parse(local?.ModTime ?? ''))
    await cli.rclone('touch sluice:master.box/timed --timestamp=2001-02-03T04:05:06')
    assert.match(await cli.rclone('lsl sluice:master.box/timed'), /2001-02-03 04:05:06/)
    assert.equal(await cli.rclone('cat sluice:master.box/timed'), await cli.rclone('cat tree/d0/f0'))
  })

  it('sends 40 MiB in parts, keeps its MD5, and reads ranges of it', async () => {
    const large = bytesNamed('rclone', 40 * MIB + 17)
    await writeFile(file('large'), large)
    await cli.rclone('copyto large sluice:master.box/large --s3-upload-cutoff=5Mi --s3-chunk-size=5Mi')
    assert.match(await cli.rclone('hashsum md5 sluice:master.box/large'), new RegExp(`^${md5(large)} `))
    await cli.rclone('check . sluice:master.box --include=/large --download')
    await cli.rclone('copyto sluice:master.box/large large.back --multi-thread-cutoff=10Mi --multi-thread-streams=4')
    assert.ok((await readFile(file('large.back'))).equals(large))
    await cli.rclone('copyto sluice:master.box/large sluice:master.box/large.copy --s3-copy-cutoff=10Mi')
    await cli.rclone('copyto sluice:master.box/large.copy large.copied')
    assert.ok((await readFile(file('large.copied'))).equals(large))
    await writeFile(file('text'), 'abcdefghij'.repeat(1000))
    await cli.rclone('copyto text sluice:master.box/text')
    assert.equal(await cli.rclone('cat sluice:master.box/text --offset=5002 --count=4'), 'cdef')
    assert.equal(await cli.rclone('cat sluice:master.box/text --tail=3'), 'hij')
  })

  it('writes from a pipe, short, empty and long', async () => {
    const long = bytesNamed('pipe', 12 * MIB)
    for (const [name, input] of [
      ['short', 'through a pipe'],
      ['empty', ''],
      ['long', long],
    ] as const) {
      await cli.piped(input, `rcat sluice:master.box/piped/${name} --streaming-upload-cutoff=1Mi`)
    }
    assert.equal(await cli.rclone('cat sluice:master.box/piped/short'), 'through a pipe')
    assert.equal(await cli.rclone('cat sluice:master.box/piped/empty'), '')
    await cli.rclone('copyto sluice:master.box/piped/long long.back')
    assert.ok((await readFile(file('long.back'))).equals(long))
  })

  it('overwrites, copies, moves and deletes', async () => {
    await cli.rclone('mkdir sluice:master.moves')
    await cli.rclone('copy tree/d0 sluice:master.moves/a')
    await cli.piped('over', 'rcat sluice:master.moves/a/f0')
    assert.equal(await cli.rclone('cat sluice:master.moves/a/f0'), 'over')
    await cli.rclone('copyto sluice:master.moves/a/f0 sluice:master.moves/copy')
    await cli.rclone('moveto sluice:master.moves/a/f5 sluice:master.moves/moved')
    await cli.rclone('move sluice:master.moves/a sluice:master.moves/b')
    assert.equal((await cli.rclone('lsf sluice:master.moves')).trim(), 'b/\ncopy\nmoved')
    await cli.rclone('deletefile sluice:master.moves/copy')
    await cli.rclone('delete sluice:master.moves --include=/moved')
    assert.equal((await cli.rclone('lsf sluice:master.moves')).trim(), 'b/')
    assert.match(await cli.rclone('size sluice:master.moves'), /Total objects: 11 /)
    await cli.rclone('delete sluice:master.moves/b')
    assert.equal((await cli.rclone('lsf -R sluice:master.moves')).trim(), '')
    await cli.rclone('rmdir sluice:master.moves')
    assert.doesNotMatch(await cli.rclone('lsd sluice:'), /master\.moves/)
    assert.match(await cli.refused('lsf sluice:master.moves'), /directory not found/)
  })

  it('lists, reads and brings back what was replaced or deleted', async () => {
    await cli.rclone('mkdir sluice:master.versions')
    const write = (text: string) => cli.piped(text, 'rcat sluice:master.versions/notes.txt')
    await write('old')
    // Versions are told apart by their time, in whole seconds.
    await sleep(1100)
    const between = new Date().toISOString()
    await sleep(1100)
    await write('new')
    await cli.rclone('deletefile sluice:master.versions/notes.txt')
    assert.equal(await cli.rclone('lsf sluice:master.versions'), '')
    const names = (await cli.rclone('lsf sluice:master.versions --s3-versions')).trim().split('\n').sort()
    assert.equal(names.length, 2, names.join())
    for (const name of names) assert.match(name, /^notes-v\d{4}-\d\d-\d\d-\d{6}-\d{3}\.txt$/)
    assert.equal(await cli.rclone(`cat sluice:master.versions/${names[0]} --s3-versions`), 'old')
    assert.equal(await cli.rclone(`cat sluice:master.versions/${names[1]} --s3-versions`), 'new')
    assert.equal(await cli.rclone(`cat sluice:master.versions/notes.txt --s3-version-at ${between}`), 'old')
    await cli.rclone(`copy sluice:master.versions versions.back --s3-version-at ${between}`)
    assert.equal(await readFile(file('versions.back/notes.txt'), 'utf8'), 'old')
  })

  it('purges a folder and a whole bucket', async () => {
    await cli.rclone('mkdir sluice:master.purged')
    await cli.rclone('copy tree sluice:master.purged/one')
    await cli.rclone('copy tree sluice:master.purged/two')
    await cli.rclone('purge sluice:master.purged/one')
    assert.equal(await cli.rclone('lsf sluice:master.purged'), 'two/\n')
    await cli.rclone('purge sluice:master.purged')
    assert.doesNotMatch(await cli.rclone('lsd sluice:'), /purged/)
  })

  it('takes odd names as they are', async () => {
    await writeOddNames(file('odd'))
    await cli.rclone('mkdir sluice:master.odd')
    await cli.rclone('copy odd sluice:master.odd')
    const listed = (await cli.rclone('lsf -R --files-only sluice:master.odd')).trim().split('\n')
    assert.deepEqual(listed.sort(), [...ODD_NAMES].sort())
    await cli.rclone('check odd sluice:master.odd --download')
    await cli.rclone('copy sluice:master.odd odd.back')
    assert.deepEqual(await filesIn(file('odd.back')), await filesIn(file('odd')))
    for (const name of ODD_NAMES) {
      await cli.rclone('copyto', `sluice:master.odd/${name}`, `sluice:master.odd/copies/${name}`)
      assert.equal(await cli.rclone('cat', `sluice:master.odd/copies/${name}`), name)
    }
    await cli.rclone('delete sluice:master.odd')
    assert.equal((await cli.rclone('lsf -R --files-only sluice:master.odd')).trim(), '')
  })

  it('reads a commit after the branch moved on, and can not write to it', async () => {
    await cli.rclone('mkdir sluice:master.history')
    await cli.rclone('copy tree sluice:master.history')
    const commit = await headOf(bench, 'history')
    await cli.rclone('sync tree/d0 sluice:master.history')
    await cli.piped('later', 'rcat sluice:master.history/d1/f1')
    await cli.rclone(`check tree sluice:${commit}.history --download`)
    await cli.rclone(`copy sluice:${commit}.history history.back`)
    assert.deepEqual(await filesIn(file('history.back')), await filesIn(file('tree')))
    assert.match(
      await cli.refused(`copyto tree/d0/f0 sluice:${commit}.history/no --s3-no-check-bucket`),
      /AccessDenied/,
    )
    assert.match(await cli.refused(`deletefile sluice:${commit}.history/d0/f0`), /AccessDenied/)
    await cli.rclone(`copy sluice:${commit}.history sluice:master.history`)
    await cli.rclone(`check sluice:${commit}.history sluice:master.history --one-way`)
  })

  it('makes a link that works without keys', async () => {
    await cli.piped('linked', 'rcat sluice:master.box/linked')
    const link = (await cli.rclone('link sluice:master.box/linked --expire=1h')).trim()
    assert.equal(await (await fetch(link)).text(), 'linked')
    assert.equal((await fetch(link.replace('box/linked', 'box/large'))).status, 403)
  })

  it('cleans up uploads that were never completed', async () => {
    await cli.rclone('cleanup sluice:master.box')
    assert.match(await cli.rclone('backend list-multipart-uploads sluice:master.box'), /"master\.box": \[\]/)
  })

  it('reads control files that it can not list', async () => {
    // Not `cat`: that lists the folder of the file first.
    await cli.rclone('copyto sluice:master.box/.sluice/flush.json flush.json')
    assert.equal(JSON.parse(await readFile(file('flush.json'), 'utf8')).ok, true)
    assert.doesNotMatch(await cli.rclone('lsf -R sluice:master.box'), /\.sluice/)
  })
})
