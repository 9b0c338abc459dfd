import assert from 'node:assert/strict'
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { findClient } from '../shared/clients.ts'
import { followGuide, guideCommand } from '../shared/guides.ts'
import { commitsOf, headOf } from '../shared/history.ts'
import { missingFuse, mount } from '../shared/mounts.ts'
import { filesIn, writeFolder, writeOddNames } from '../shared/trees.ts'
import { type Bench, bytesNamed, openBench } from '../support.ts'

const client = await findClient('s3fs', '--version')
const missing = client.missing ?? (await missingFuse())
const MIB = 1024 * 1024

describe(client.title, { skip: missing }, () => {
  let bench: Bench
  before(async () => {
    bench = await openBench()
    const { accessKeyId, secretAccessKey } = bench.server.credentials
    await writeFile(join(bench.folder, 'passwd'), `${accessKeyId}:${secretAccessKey}\n`, { mode: 0o600 })
    for (const repo of ['files', 'bulk', 'frozen']) await bench.sluice(['repo', 'create', repo])
  })
  after(() => bench?.close())

  /** Does something in the mounted bucket; when this returns, all of it has been sent. */
  async function inside(bucket: string, use: (point: string) => Promise<void>, ...more: string[]) {
    const point = join(bench.folder, `mnt-${bucket.slice(0, 12)}`)
    await mkdir(point, { recursive: true })
    const [, , , ...shown] = guideCommand('s3fs', 's3fs ', bench.server)
    const given = shown.map((word) => word.replace('$HOME/.passwd-s3fs', join(bench.folder, 'passwd')))
    const words = [...given, ...more.flatMap((option) => ['-o', option])]
    const mounted = await mount('s3fs', [bucket, point, '-f', ...words], point, bench.server.clientEnvironment)
    try {
      await use(point)
    } finally {
      await mounted.unmount()
    }
  }

  it('does what its guide says', () => followGuide(bench, 's3fs'))

  it('is a file system: write, append, truncate, seek, rename, remove', async () => {
    await inside('master.files', async (point) => {
      const at = (name: string) => join(point, name)
      await mkdir(at('dir/sub'), { recursive: true })
      await writeFile(at('dir/sub/a'), 'written')
      await appendFile(at('dir/sub/a'), ' and appended')
      await writeFile(at('short'), 'too long')
      await truncate(at('short'), 3)
      await writeFile(at('temporary'), 'x')
      await rename(at('temporary'), at('renamed'))
      await rename(at('dir/sub'), at('dir/moved'))
      await copyFile(at('renamed'), at('copied'))
      await writeFile(at('gone'), 'x')
      await rm(at('gone'))
      await mkdir(at('empty'))
      await rmdir(at('empty'))
    })
    await inside('master.files', async (point) => {
      assert.deepEqual((await readdir(point)).sort(), ['copied', 'dir', 'renamed', 'short'])
      assert.deepEqual(await readdir(join(point, 'dir')), ['moved'])
      assert.equal(await readFile(join(point, 'dir/moved/a'), 'utf8'), 'written and appended')
      assert.equal(await readFile(join(point, 'short'), 'utf8'), 'too')
      assert.equal(await readFile(join(point, 'renamed'), 'utf8'), 'x')
      await rm(join(point, 'dir'), { recursive: true })
      assert.deepEqual((await readdir(point)).sort(), ['copied', 'renamed', 'short'])
    })
  })

  it('keeps modes, times and symbolic links', async () => {
    const when = new Date('2001-02-03T04:05:06Z')
    await inside('master.files', async (point) => {
      await writeFile(join(point, 'script'), '#!/bin/sh\n')
      await chmod(join(point, 'script'), 0o750)
      await utimes(join(point, 'script'), when, when)
      await symlink('script', join(point, 'link'))
    })
    await inside('master.files', async (point) => {
      const { mode, mtime } = await stat(join(point, 'script'))
      assert.deepEqual([mode & 0o777, mtime], [0o750, when])
      assert.equal(await readlink(join(point, 'link')), 'script')
      assert.equal(await readFile(join(point, 'link'), 'utf8'), '#!/bin/sh\n')
    })
  })

  it('sends 30 MiB in parts, changes some bytes of them, renames them and reads ranges', async () => {
    const large = bytesNamed('s3fs', 30 * MIB)
    await inside(
      'master.files',
      async (point) => {
        await writeFile(join(point, 'large'), large)
        const handle = await open(join(point, 'large'), 'r+')
        await handle.write(Buffer.from('changed'), 0, 7, 12 * MIB)
        await handle.close()
        await rename(join(point, 'large'), join(point, 'larger'))
      },
      'multipart_size=10',
    )
    large.write('changed', 12 * MIB)
    await inside('master.files', async (point) => {
      assert.ok((await readFile(join(point, 'larger'))).equals(large))
      await rm(join(point, 'larger'))
    })
  })

  it('takes a folder with odd names by plain file writes, as one commit', async () => {
    const write = async (to: string) => {
      await writeFolder(join(to, 'tree'), 30)
      await writeOddNames(join(to, 'odd'))
    }
    await write(join(bench.folder, 'plain'))
    await inside('master.bulk', write)
    assert.equal((await commitsOf(bench, 'bulk')).length, 1)
    await inside('master.bulk', async (point) => {
      assert.deepEqual(await filesIn(join(point, 'odd')), await filesIn(join(bench.folder, 'plain/odd')))
      const names = Object.keys(await filesIn(join(bench.folder, 'plain/tree')))
      assert.deepEqual(Object.keys(await filesIn(join(point, 'tree'))), names)
    })
  })

  it('shows a commit as it was, read-only, while the branch moves on', async () => {
    await inside('master.frozen', (point) => writeFile(join(point, 'a'), 'old'))
    const commit = await headOf(bench, 'frozen')
    await inside('master.frozen', async (point) => {
      await writeFile(join(point, 'a'), 'new')
      await writeFile(join(point, 'b'), 'new')
    })
    const frozen = async (point: string) => {
      assert.deepEqual(await readdir(point), ['a'])
      assert.equal(await readFile(join(point, 'a'), 'utf8'), 'old')
      await assert.rejects(writeFile(join(point, 'c'), 'x'))
    }
    await inside(`${commit}.frozen`, frozen, 'ro')
    await inside(`${commit}.frozen`, frozen)
  })
})
