import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { parseSpec } from '../spec/index.ts'
import { findCode, hashSettings, isUnchanged } from './code.ts'

let home = ''
const path = (...names: string[]) => join(home, ...names)
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sluice-code-'))
  for (const folder of ['data', 'code/src', 'code/node_modules']) mkdirSync(path(folder), { recursive: true })
  writeFileSync(path('code', 'package.json'), '{}')
  writeFileSync(path('code', 'src', 'main.ts'), 'one')
  writeFileSync(path('data', 'root-key.json'), 'secret')
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const specOf = (transform: object) =>
  parseSpec({ pipeline: { name: 'p' }, transform, input: { pfs: { repo: 'a', glob: '/' } } }).spec
const code = (transform: object) =>
  findCode(specOf({ working_dir: path('code'), ...transform }).transform, path('data'))
async function hashes(transform: object) {
  const spec = specOf({ working_dir: path('code'), ...transform })
  return hashSettings(spec, await findCode(spec.transform, path('data')), 0)
}

describe('the code of a pipeline', () => {
  it('is the files that cmd names, and shows a sandbox what they need', async () => {
    const found = await code({ cmd: ['node', '--flag', 'src/main.ts', 'no-file', '/pfs/a'] })
    assert.deepEqual(
      found.files.map((file) => file.path),
      [path('code', 'src', 'main.ts')],
    )
    assert.deepEqual([...found.readable].sort(), [
      path('code'),
      path('code', 'node_modules'),
      path('code', 'package.json'),
      path('code', 'src'),
    ])
    assert.deepEqual(found.problems, [])
  })

  it('has another hash when a named file changes, and the same when another one does', async () => {
    const before = await hashes({ cmd: ['node', 'src/main.ts'] })
    writeFileSync(path('code', 'src', 'other.ts'), 'x')
    assert.deepEqual(await hashes({ cmd: ['node', 'src/main.ts'] }), before)
    writeFileSync(path('code', 'src', 'main.ts'), 'two')
    const after = await hashes({ cmd: ['node', 'src/main.ts'] })
    assert.notEqual(after.code, before.code)
    assert.equal(after.spec, before.spec)
  })

  it('counts files of err_cmd, and every setting that user code can notice', async () => {
    const plain = { cmd: ['node', 'src/main.ts'] }
    const prints = await Promise.all(
      [
        plain,
        { ...plain, env: { A: '1' } },
        { ...plain, stdin: ['x'] },
        { ...plain, accept_return_code: [1] },
        { ...plain, working_dir: path('code', 'src') },
      ].map(hashes),
    )
    assert.equal(new Set(prints.map(({ spec }) => spec)).size, prints.length)
    assert.notEqual((await hashes({ ...plain, err_cmd: ['sh', 'src/main.ts'] })).code, prints[0]!.code)
  })

  it('notices a file that is replaced while it is in use', async () => {
    const found = await code({ cmd: ['node', 'src/main.ts'] })
    assert.equal(await isUnchanged(found), true)
    writeFileSync(path('code', 'src', 'main.ts'), 'two!')
    assert.equal(await isUnchanged(found), false)
  })

  it('never lies in the data folder, also not by way of a link', async () => {
    symlinkSync(path('data', 'root-key.json'), path('code', 'link'))
    for (const argument of [path('data', 'root-key.json'), 'link', '../data/root-key.json']) {
      const found = await code({ cmd: ['cat', argument] })
      assert.match(found.problems.join(), /inside the data folder/)
      assert.deepEqual([found.files, found.readable], [[], []])
    }
    const inside = await findCode(specOf({ cmd: ['true'], working_dir: path('data') }).transform, path('data'))
    assert.match(inside.problems.join(), /working_dir .* is inside the data folder/)
  })

  it('does not show what belongs to the system or to others', async () => {
    for (const argument of ['/etc/passwd', '/proc/self/environ', '/etc', '/']) {
      const found = await code({ cmd: ['cat', argument] })
      assert.deepEqual([found.files, found.readable, found.problems], [[], [], []], argument)
    }
    writeFileSync(join(tmpdir(), `${home.split('/').at(-1)}.sh`), '')
    const alone = join(tmpdir(), `${home.split('/').at(-1)}.sh`)
    try {
      assert.ok(!(await code({ cmd: ['sh', alone] })).readable.includes(tmpdir()))
    } finally {
      rmSync(alone)
    }
  })

  it('says what is missing by name', async () => {
    writeFileSync(path('code', 'data.txt'), '')
    writeFileSync(path('code', 'tool'), '#!/bin/sh')
    chmodSync(path('code', 'tool'), 0o755)
    const problem = async (transform: object) => (await code(transform)).problems.join()
    assert.match(
      await problem({ cmd: ['no-such-program'] }),
      /"no-such-program" does not exist: it is in none of .*\/usr\/bin/,
    )
    assert.match(await problem({ cmd: ['./gone'] }), /"\.\/gone" does not exist: there is no file .*code\/gone/)
    assert.match(await problem({ cmd: ['./data.txt'] }), /can't be run/)
    assert.match(await problem({ cmd: ['true'], err_cmd: ['gone-too'] }), /"gone-too" does not exist/)
    assert.match(
      await problem({ cmd: ['true'], working_dir: '/no/such/folder' }),
      /working_dir \/no\/such\/folder does not exist/,
    )
    assert.equal(await problem({ cmd: ['./tool'] }), '')
    assert.equal(await problem({ cmd: ['/pfs/a/tool'], working_dir: '/pfs/out' }), '')
  })
})
