import assert from 'node:assert/strict'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { CommitJson, FileJson, ImportedJson } from '../api/contract.ts'
import { tarOf } from '../versioning/testing/tar.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

const paths = async (at: string) => (await cli.json<FileJson[]>('file', 'list', at, '-r')).map(({ path }) => path)

describe('sluice import', () => {
  it('makes one commit of an archive, of a folder and of standard input, and prints it', async () => {
    await cli.ok('repo', 'create', 'one')
    const file = await cli.local('some.tar', tarOf({ name: './a', body: '1' }, { name: 'd/b', body: '2' }))
    const { code, out, err } = await cli.run(['import', 'one@master', file, '-m', 'some'])
    assert.equal(code, 0, err)
    assert.match(err, /2 files: 2 new, 0 changed, 0 as they were/)
    const [commit] = await cli.json<CommitJson[]>('commit', 'list', 'one')
    assert.equal(out, `${commit!.id}\n`)
    assert.equal(commit!.message, 'some')

    const folder = join(cli.folder, 'tree')
    const deep = join(folder, 'deep'.repeat(20), 'deeper'.repeat(20))
    await mkdir(deep, { recursive: true })
    await writeFile(join(deep, 'ünïcode.txt'), 'far down')
    const large = Buffer.alloc(3_000_001, 'large')
    await writeFile(join(folder, 'large.bin'), large)
    await writeFile(join(folder, 'empty'), '')
    await symlink('large.bin', join(folder, 'link'))
    const imported = await cli.json<ImportedJson>('import', 'one@master:in', folder)
    assert.deepEqual([imported.files, imported.added], [4, 4])
    const far = `in/${'deep'.repeat(20)}/${'deeper'.repeat(20)}/ünïcode.txt`
    assert.deepEqual(await paths('one@master'), ['a', 'd/b', far, 'in/empty', 'in/large.bin', 'in/link'])
    assert.equal(await cli.ok('file', 'get', `one@master:${far}`), 'far down')
    const got = join(cli.folder, 'got')
    await cli.ok('file', 'get', 'one@master:in/large.bin', '-o', got)
    assert.ok((await readFile(got)).equals(large))

    const piped = await cli.run(['import', 'one@master', '-'], {
      input: tarOf({ name: 'a', body: '1' }, { name: 'p', body: 'q' }),
    })
    assert.match(piped.err, /2 files: 1 new, 0 changed, 1 as they were/)
  })

  it('refuses what of a folder can not be a file, and --skip leaves it out and names it', async () => {
    await cli.ok('repo', 'create', 'latin')
    const folder = join(cli.folder, 'latin')
    await mkdir(join(folder, 'sub'), { recursive: true })
    await writeFile(join(folder, 'sub', 'ok'), 'x')
    const bytes = (name: string) => Buffer.concat([Buffer.from(`${folder}/${name}`), Buffer.from([0xe9])])
    const left: [RegExp, () => Promise<unknown>][] = [
      [/"caf\uFFFD" .*has a name that is not UTF-8/, () => writeFile(bytes('caf'), 'x')],
      [/"sub\/folder\uFFFD" .*has a name that is not UTF-8/, () => mkdir(bytes('sub/folder'))],
      [/"away" .*is a link that leads to nothing/, () => symlink('nowhere', join(folder, 'away'))],
      [/"there" .*is a link to a folder/, () => symlink('sub', join(folder, 'there'))],
    ]
    for (const [why, make] of left) {
      await make()
      const refused = await cli.run(['import', 'latin@master', folder])
      assert.equal(refused.code, 1)
      assert.match(refused.err, /--skip leaves such things out/)
      const skipped = await cli.run(['import', 'latin@master', folder, '--skip'])
      assert.equal(skipped.code, 0, skipped.err)
      assert.match(skipped.err, why)
    }
    // A file in a folder without a name that can be said.
    await writeFile(Buffer.concat([bytes('sub/folder'), Buffer.from('/in')]), 'x')
    const { skipped, skippedTotal } = await cli.json<ImportedJson>('import', 'latin@master', folder, '--skip')
    assert.deepEqual([skipped.length, skippedTotal], [4, 4])
    assert.deepEqual(await paths('latin@master'), ['sub/ok'])
    const put = await cli.run(['file', 'put', 'latin@master:p', '-r', '-f', folder])
    assert.match(put.err, /left out: "there" is a link to a folder/)
  })

  it('ends with what is wrong with the archive, and --skip names what it left out', async () => {
    await cli.ok('repo', 'create', 'two')
    const file = await cli.local('link.tar', tarOf({ name: 'a', body: '1' }, { name: 'l', type: '2', linkname: 'a' }))
    const refused = await cli.run(['import', 'two@master', file])
    assert.equal(refused.code, 1)
    assert.match(refused.err, /"l" in the archive is a symbolic link/)
    assert.deepEqual(await cli.json('commit', 'list', 'two'), [])
    const skipped = await cli.run(['import', 'two@master', file, '--skip'])
    assert.equal(skipped.code, 0)
    assert.match(skipped.err, /left out: "l" is a symbolic link/)
    assert.deepEqual(await paths('two@master'), ['a'])
    const cut = await cli.run(['import', 'two@master', '-'], {
      input: tarOf({ name: 'b', body: '1' }).subarray(0, 700),
    })
    assert.equal(cut.code, 1)
    assert.match(cut.err, /the archive ends early/)
    const missing = await cli.run(['import', 'two@master', join(cli.folder, 'none.tar')])
    assert.match(missing.err, /can't be read/)
  })

  it('keeps modification times where it is asked to', async () => {
    await cli.ok('repo', 'create', 'three')
    const file = await cli.local('times.tar', tarOf({ name: 'a', body: '1', mtime: 1_700_000_000 }))
    await cli.ok('import', 'three@master', file, '--times')
    const { metadata } = await cli.json<FileJson>('file', 'inspect', 'three@master:a')
    assert.deepEqual(metadata, { mtime: '1700000000' })
  })
})
