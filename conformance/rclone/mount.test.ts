import assert from 'node:assert/strict'
import {
  appendFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { commitsOf, headOf } from '../shared/history.ts'
import { missingFuse, mount } from '../shared/mounts.ts'
import { filesIn, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, openBench } from '../support.ts'
import { findRclone, rcloneOn } from './rclone.ts'

const client = await findRclone()
const missing = client.missing ?? (await missingFuse())
const MIB = 1024 * 1024
const SEND_TIMEOUT_MS = 20_000

describe(`${client.title}: mount`, { skip: missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof rcloneOn>
  before(async () => {
    bench = await openBench()
    cli = rcloneOn(bench)
    await cli.rclone('mkdir sluice:master.disk')
  })
  after(() => bench?.close())

  /** Does something in the mounted bucket; when this returns, all of it has been sent. */
  async function inside(bucket: string, use: (point: string) => Promise<void>, ...more: string[]) {
    const point = join(bench.folder, `mnt-${bucket.slice(0, 12)}`)
    await mkdir(point, { recursive: true })
    const cache = ['--vfs-cache-mode=full', '--vfs-write-back=0', `--cache-dir=${join(bench.folder, 'cache')}`]
    const mounted = await mount(
      'rclone',
      ['mount', `sluice:${bucket}`, point, ...cache, ...more],
      point,
      cli.environment,
    )
    try {
      await use(point)
    } finally {
      await mounted.unmount()
    }
  }

  /** rclone sends a file after it was closed: renamed or removed meanwhile, it may be stored under its old name all the same. */
  async function sent(bucket: string, ...names: string[]) {
    const deadline = Date.now() + SEND_TIMEOUT_MS
    for (;;) {
      const there = new Set((await cli.rclone(`lsf -R sluice:${bucket}`)).split('\n'))
      const waiting = names.filter((name) => !there.has(name))
      if (waiting.length === 0) return
      if (Date.now() > deadline) throw new Error(`not sent: ${waiting.join(', ')}`)
      await sleep(50)
    }
  }

  it('is a file system: write, append, truncate, seek, rename, remove', async () => {
    const large = bytesNamed('mounted', 9 * MIB)
    await inside('master.disk', async (point) => {
      await mkdir(join(point, 'dir/sub'), { recursive: true })
      await writeFile(join(point, 'dir/sub/a'), 'written')
      await appendFile(join(point, 'dir/sub/a'), ' and appended')
      await writeFile(join(point, 'short'), 'too long')
      await truncate(join(point, 'short'), 3)
      await writeFile(join(point, 'large'), large)
      await writeFile(join(point, 'temporary'), 'x')
      await writeFile(join(point, 'gone'), 'x')
      await mkdir(join(point, 'empty'))
      await rmdir(join(point, 'empty'))
      await sent('master.disk', 'temporary', 'dir/sub/a', 'gone', 'large')
      // What this run of rclone wrote itself, it deletes by its version.
      await rename(join(point, 'temporary'), join(point, 'renamed'))
      await rename(join(point, 'dir/sub'), join(point, 'dir/moved'))
      await rm(join(point, 'gone'))
    })
    await inside('master.disk', async (point) => {
      assert.deepEqual((await readdir(point)).sort(), ['dir', 'large', 'renamed', 'short'])
      assert.equal(await readFile(join(point, 'dir/moved/a'), 'utf8'), 'written and appended')
      assert.equal(await readFile(join(point, 'short'), 'utf8'), 'too')
      assert.equal((await stat(join(point, 'large'))).size, large.length)
      const handle = await open(join(point, 'large'))
      const { buffer } = await handle.read(Buffer.alloc(1000), 0, 1000, 5 * MIB)
      await handle.close()
      assert.ok(buffer.equals(large.subarray(5 * MIB, 5 * MIB + 1000)))
      assert.ok((await readFile(join(point, 'large'))).equals(large))
    })
  })

  it('takes a folder of odd names by plain file writes, as one commit', async () => {
    await cli.rclone('mkdir sluice:master.plain')
    const write = async (to: string) => {
      await writeFolder(join(to, 'tree'), 40)
      await writeOddNames(join(to, 'odd'))
    }
    await write(join(bench.folder, 'plain'))
    const names = Object.keys(await filesIn(join(bench.folder, 'plain')))
    await inside('master.plain', async (point) => {
      await write(point)
      await sent('master.plain', ...names)
    })
    assert.equal((await commitsOf(bench, 'plain')).length, 1)
    await cli.rclone('copy sluice:master.plain plain.back')
    assert.deepEqual(Object.keys(await filesIn(join(bench.folder, 'plain.back'))), names)
    await cli.rclone('check plain/odd sluice:master.plain/odd --download')
  })

  it('shows a commit as it was, read-only, while the branch moves on', async () => {
    await cli.rclone('mkdir sluice:master.frozen')
    await cli.piped('old', 'rcat sluice:master.frozen/a')
    const commit = await headOf(bench, 'frozen')
    await inside(
      `${commit}.frozen`,
      async (point) => {
        await cli.piped('new', 'rcat sluice:master.frozen/a')
        await cli.piped('new', 'rcat sluice:master.frozen/b')
        assert.deepEqual(await readdir(point), ['a'])
        assert.equal(await readFile(join(point, 'a'), 'utf8'), 'old')
        await assert.rejects(writeFile(join(point, 'c'), 'x'), { code: 'EROFS' })
      },
      '--read-only',
    )
  })
})
