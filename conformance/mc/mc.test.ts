import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { followGuide, guideCommand } from '../shared/guides.ts'
import { commitsOf, headOf } from '../shared/history.ts'
import { filesIn, ODD_NAMES, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, md5, missingTool, openBench } from '../support.ts'

/** Midnight Commander has the same name. */
const missing = await missingTool('sh', [
  '-c',
  'mc --version | grep -q MinIO || { echo no mc of MinIO is installed >&2; exit 1; }',
])
const MIB = 1024 * 1024

interface Line {
  readonly key: string
  readonly versionId?: string
  readonly isDeleteMarker?: boolean
}

describe('mc', { skip: missing }, () => {
  let bench: Bench
  const file = (name: string) => join(bench.folder, name)
  const environment = () => ({ ...bench.server.clientEnvironment, MC_CONFIG_DIR: file('mc') })
  const words = (line: string) => ['--quiet', '--no-color', '--disable-pager', ...line.split(' ')]
  const mc = (line: string, ...more: string[]) =>
    bench.ok('mc', [...words(line), ...more], { environment: environment() })
  const piped = (input: Buffer | string, line: string) =>
    bench.ok('mc', words(line), { environment: environment(), input })
  const refused = (line: string, ...more: string[]) =>
    bench.fails('mc', [...words(line), ...more], { environment: environment() })
  const json = async <T>(line: string): Promise<T[]> =>
    (await mc(`--json ${line}`))
      .split('\n')
      .filter(Boolean)
      .map((text) => JSON.parse(text) as T)
  before(async () => {
    bench = await openBench()
    const [command = '', ...args] = guideCommand('mc', 'mc alias set', bench.server)
    await bench.ok(command, args, { environment: environment() })
    await mc('mb sluice/master.box')
    await writeFolder(file('tree'), 30)
  })
  after(() => bench?.close())

  it('does what its guide says', () => followGuide(bench, 'mc'))

  it('copies a folder as one commit, and back', async () => {
    await mc('mb sluice/master.bulk')
    await writeFolder(file('bulk'), 200)
    await mc('cp --recursive bulk/ sluice/master.bulk/in/')
    const commits = await commitsOf(bench, 'bulk')
    assert.deepEqual([commits.length, commits[0]?.files], [1, 200])
    await mc('cp --recursive sluice/master.bulk/in/ bulk.back/')
    assert.deepEqual(await filesIn(file('bulk.back')), await filesIn(file('bulk')))
  })

  it('mirrors up and down, and removes what is gone', async () => {
    await mc('mb sluice/master.synced')
    await mc('mirror tree sluice/master.synced')
    assert.equal((await commitsOf(bench, 'synced')).length, 1)
    assert.equal((await mc('diff tree sluice/master.synced')).trim(), '')
    await mc('mirror sluice/master.synced changed')
    assert.deepEqual(await filesIn(file('changed')), await filesIn(file('tree')))
    await writeFile(file('changed/d1/f1'), 'of another size')
    await rm(file('changed/d2'), { recursive: true })
    assert.match(await mc('diff changed sluice/master.synced'), /d2\/f2/)
    await mc('mirror --overwrite --remove changed sluice/master.synced')
    await mc('mirror sluice/master.synced synced.back')
    assert.deepEqual(await filesIn(file('synced.back')), await filesIn(file('changed')))
    const commits = await commitsOf(bench, 'synced')
    assert.deepEqual([commits.length, commits[0]?.files], [2, 24])
  })

  it('sends 40 MiB in parts and gets them back', async () => {
    const large = bytesNamed('mc', 40 * MIB + 9)
    await writeFile(file('large'), large)
    await mc('put --part-size 5MiB --parallel 4 large sluice/master.box/large')
    await mc('get sluice/master.box/large large.back')
    assert.ok((await readFile(file('large.back'))).equals(large))
    await mc('cp sluice/master.box/large sluice/master.box/large.copy')
    await mc('cp sluice/master.box/large.copy large.copied')
    assert.ok((await readFile(file('large.copied'))).equals(large))
    assert.equal((await mc('ls --incomplete --recursive sluice/master.box')).trim(), '')
  })

  it('reads and writes by pipes, short, empty and long', async () => {
    const long = bytesNamed('pipe', 18 * MIB)
    await piped('through a pipe', 'pipe sluice/master.box/piped')
    await piped('', 'pipe sluice/master.box/empty')
    await piped(long, 'pipe sluice/master.box/long')
    assert.equal(await mc('cat sluice/master.box/piped'), 'through a pipe')
    assert.equal(await mc('cat sluice/master.box/empty'), '')
    assert.equal(await mc('cat --offset 10 sluice/master.box/piped'), 'pipe')
    assert.equal((await mc('head -n 1 sluice/master.box/piped')).trim(), 'through a pipe')
    await mc('cp sluice/master.box/long long.back')
    assert.ok((await readFile(file('long.back'))).equals(long))
  })

  it('moves, lists, finds, sums up and removes', async () => {
    await mc('cp --recursive tree/d0/ sluice/master.box/a/')
    await mc('mv --recursive sluice/master.box/a/ sluice/master.box/b/')
    assert.equal((await mc('ls sluice/master.box/a/')).trim(), '')
    assert.equal((await mc('ls sluice/master.box/b/')).trim().split('\n').length, 6)
    assert.match(await mc('ls sluice'), /master\.box\/\n/)
    assert.match(await mc('du sluice/master.box/b/'), /6 objects/)
    assert.match(await mc('find sluice/master.box/b --name f5'), /b\/f5\n/)
    assert.match(await mc('tree sluice/master.box'), /b/)
    await mc('rm sluice/master.box/b/f0')
    await refused('stat sluice/master.box/b/f0')
    await mc('rm --recursive --force sluice/master.box/b/')
    assert.equal((await mc('ls sluice/master.box/b/')).trim(), '')
  })

  it('shows what it knows of a file', async () => {
    await writeFile(file('known'), 'known')
    await mc('cp --attr colour=blue;Content-Type=text/x-odd known sluice/master.box/known')
    const [stat] = await json<{ etag: string; size: number; metadata: Record<string, string> }>(
      'stat sluice/master.box/known',
    )
    assert.deepEqual([stat?.etag, stat?.size], [md5(Buffer.from('known')), 5])
    assert.equal(stat?.metadata['Content-Type'], 'text/x-odd')
    assert.equal(stat?.metadata['X-Amz-Meta-Colour'], 'blue')
    await mc('stat sluice/master.box')
  })

  it('takes odd names as they are', async () => {
    await writeOddNames(file('odd'))
    await mc('mb sluice/master.odd')
    await mc('mirror odd sluice/master.odd')
    const listed = (await json<Line>('ls --recursive sluice/master.odd')).map(({ key }) => key)
    assert.deepEqual(listed.sort(), [...ODD_NAMES].sort())
    await mc('mirror sluice/master.odd odd.back')
    assert.deepEqual(await filesIn(file('odd.back')), await filesIn(file('odd')))
    for (const name of ODD_NAMES) {
      await mc('mv', `sluice/master.odd/${name}`, `sluice/master.odd/moved/${name}`)
      assert.equal(await mc('cat', `sluice/master.odd/moved/${name}`), name)
    }
    await mc('rm --recursive --force sluice/master.odd/moved/')
    assert.equal((await mc('ls --recursive sluice/master.odd')).trim(), '')
  })

  it('lists versions, reads them, undoes a removal, and removes every version', async () => {
    await mc('mb sluice/master.past')
    assert.match(await mc('version info sluice/master.past'), /enabled/)
    for (const text of ['one', 'two']) await piped(text, 'pipe sluice/master.past/a')
    await mc('rm sluice/master.past/a')
    const all = await json<Line>('ls --versions sluice/master.past/a')
    assert.deepEqual(
      all.map(({ isDeleteMarker }) => isDeleteMarker === true),
      [true, false, false],
    )
    assert.equal(await mc(`cat --version-id ${all[2]?.versionId} sluice/master.past/a`), 'one')
    await mc('undo --force sluice/master.past/a')
    assert.equal(await mc('cat sluice/master.past/a'), 'two')
    await mc(`rm --version-id ${all[1]?.versionId} sluice/master.past/a`)
    assert.equal(await mc('cat sluice/master.past/a'), 'one')
    await mc('rm --versions --recursive --force sluice/master.past')
    assert.equal((await mc('ls --versions --recursive sluice/master.past')).trim(), '')
  })

  it('keeps tags', async () => {
    await piped('tagged', 'pipe --tags stage=raw&team=a sluice/master.box/tagged')
    const tags = async () => (await json<{ tagset: object }>('tag list sluice/master.box/tagged'))[0]?.tagset
    assert.deepEqual(await tags(), { stage: 'raw', team: 'a' })
    await mc('tag set sluice/master.box/tagged stage=clean')
    assert.deepEqual(await tags(), { stage: 'clean' })
    await mc('tag remove sluice/master.box/tagged')
    assert.equal(await tags(), undefined)
    await mc('tag set sluice/master.box cost=1')
    assert.match(await mc('tag list sluice/master.box'), /cost/)
  })

  it('reads a commit after the branch moved on, and can not write to it', async () => {
    await mc('mb sluice/master.history')
    await mc('mirror tree sluice/master.history')
    const commit = await headOf(bench, 'history')
    await mc('rm --recursive --force sluice/master.history/d1/')
    await mc(`mirror sluice/${commit}.history history.back`)
    assert.deepEqual(await filesIn(file('history.back')), await filesIn(file('tree')))
    assert.match(await refused(`cp tree/d0/f0 sluice/${commit}.history/no`), /never change|Insufficient permissions/)
    assert.match(await refused(`rm sluice/${commit}.history/d0/f0`), /never change|Insufficient permissions/)
    await mc(`mirror sluice/${commit}.history sluice/master.history`)
    assert.equal((await mc(`diff sluice/${commit}.history sluice/master.history`)).trim(), '')
  })

  it('loads by a transaction', async () => {
    await mc('mb sluice/master.loads')
    await mc('mb sluice/tx-load.master.loads')
    await mc('mirror tree sluice/tx-load.master.loads/in')
    assert.equal((await mc('ls sluice/master.loads')).trim(), '')
    await writeFile(file('message'), 'by mc')
    await mc('cp message sluice/tx-load.master.loads/.sluice/commit')
    const [commit] = await commitsOf(bench, 'loads')
    assert.deepEqual([commit?.files, commit?.message], [30, 'by mc'])
  })

  it('makes links that read and write without keys', async () => {
    await piped('linked', 'pipe sluice/master.box/linked')
    const [down] = await json<{ share: string }>('share download --expire 1h sluice/master.box/linked')
    assert.equal(await (await fetch(down?.share ?? '')).text(), 'linked')
  })

  it('removes a bucket only when it is empty', async () => {
    await mc('mb sluice/branch.tmp')
    await mc('cp known sluice/branch.tmp/x')
    assert.match(await refused('rb sluice/branch.tmp'), /not empty/)
    // It wants the versions gone, too.
    await mc('rb --force sluice/branch.tmp')
    assert.doesNotMatch(await mc('ls sluice'), /branch\.tmp/)
  })

  it('is refused with a wrong secret', async () => {
    const { accessKeyId } = bench.server.credentials
    await mc(`alias set wrong ${bench.server.s3Url} ${accessKeyId} wrong-wrong-wrong --path on --api S3v4`)
    assert.match(await refused('ls wrong/master.box'), /Access Denied/)
    assert.match(await refused('cp known wrong/master.box/never'), /signature|Access Denied/)
    await refused('stat sluice/master.box/never')
  })
})
