import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { buildForgetful, crash, forgetfulEnvironment, seedShadow } from './forgetful.ts'

/** The layer itself has to be believed before a green durability test means anything. */
describe('the forgetting file layer', () => {
  let folder: string
  let library = ''
  let reason = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'forgetful-'))
    const built = await buildForgetful(folder)
    if ('builtAs' in built) library = built.builtAs
    else reason = built.reason
  })
  after(() => rm(folder, { recursive: true, force: true }))

  /** Runs `script` in a folder under the layer until it kills itself; returns what a disk would hold. */
  async function survivors(
    t: TestContext,
    script: string,
    options: { skip?: string; existing?: Record<string, string> } = {},
  ): Promise<Record<string, string> | undefined> {
    if (!library) {
      t.skip(reason)
      return undefined
    }
    const data = join(await mkdtemp(join(folder, 'run-')), 'data')
    const shadow = `${data}.shadow`
    await mkdir(data)
    for (const [name, text] of Object.entries(options.existing ?? {})) await writeFile(join(data, name), text)
    await seedShadow(data, shadow)
    const code = `const fs = require('fs'); process.chdir(${JSON.stringify(data)})
      const write = (name, text, flag = 'w', at = null) => { const fd = fs.openSync(name, flag); fs.writeSync(fd, text, at); return fd }
      const folder = (name) => { const fd = fs.openSync(name, 'r'); fs.fsyncSync(fd); fs.closeSync(fd) }
      ;(async () => { ${script} ; process.kill(process.pid, 'SIGKILL') })()`
    const { skip } = options
    const env = forgetfulEnvironment({ library, folder: data, shadow, ...(skip === undefined ? {} : { skip }) })
    const child = spawn(process.execPath, ['-e', code], { env, stdio: ['ignore', 'inherit', 'pipe'] })
    let errors = ''
    child.stderr.on('data', (bytes) => {
      errors += bytes
    })
    const [status, signal] = await once(child, 'exit')
    assert.equal(signal, 'SIGKILL', `the script ended by itself (${status}): ${errors}`)
    await crash(data, shadow)
    const found: Record<string, string> = {}
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      found[path.slice(data.length + 1)] = entry.isDirectory() ? '(folder)' : await readFile(path, 'utf8')
    }
    return found
  }

  const promises: readonly {
    readonly name: string
    readonly script: string
    readonly left: Record<string, string>
    readonly existing?: Record<string, string>
    readonly skip?: string
  }[] = [
    { name: 'forgets a new file that was only written', script: `write('a', 'hello')`, left: {} },
    { name: 'forgets a new file whose folder was not synced', script: `fs.fsyncSync(write('a', 'hello'))`, left: {} },
    {
      name: 'keeps a new file that was synced with its folder',
      script: `fs.fsyncSync(write('a', 'hello')); folder('.')`,
      left: { a: 'hello' },
    },
    {
      name: 'keeps the name without the bytes when only the folder was synced',
      script: `write('a', 'hello'); folder('.')`,
      left: { a: '' },
    },
    {
      name: 'keeps of a file what was there at its last sync',
      script: `const fd = write('a', 'one '); fs.fdatasyncSync(fd); folder('.'); fs.writeSync(fd, 'two '); fs.fdatasyncSync(fd); fs.writeSync(fd, 'three')`,
      left: { a: 'one two ' },
    },
    {
      name: 'forgets a write in the middle that was not synced',
      script: `write('a', 'XX', 'r+', 2)`,
      existing: { a: 'abcdef' },
      left: { a: 'abcdef' },
    },
    {
      name: 'keeps a write in the middle that was synced',
      script: `fs.fsyncSync(write('a', 'XX', 'r+', 2))`,
      existing: { a: 'abcdef' },
      left: { a: 'abXXef' },
    },
    {
      name: 'follows appends, vectors and the thread pool',
      script: `const f = await fs.promises.open('a', 'a'); await f.writev([Buffer.from('12'), Buffer.from('34')]); await f.write('56'); await f.datasync(); await f.write('lost')`,
      existing: { a: '0' },
      left: { a: '0123456' },
    },
    {
      name: 'forgets a cut that was not synced and keeps one that was',
      script: `fs.truncateSync('a', 1); const fd = fs.openSync('b', 'r+'); fs.ftruncateSync(fd, 1); fs.writeSync(fd, 'z', 3); fs.fsyncSync(fd)`,
      existing: { a: 'abc', b: 'abc' },
      left: { a: 'abc', b: 'a\0\0z' },
    },
    {
      name: 'forgets that an existing file was emptied on opening',
      script: `write('a', 'new', 'w')`,
      existing: { a: 'old' },
      left: { a: 'old' },
    },
    {
      name: 'forgets a replacement by rename until the folder is synced',
      script: `fs.fsyncSync(write('a.new', 'new')); fs.renameSync('a.new', 'a')`,
      existing: { a: 'old' },
      left: { a: 'old' },
    },
    {
      name: 'keeps a replacement by rename once the folder is synced',
      script: `fs.fsyncSync(write('a.new', 'new')); fs.renameSync('a.new', 'a'); folder('.')`,
      existing: { a: 'old' },
      left: { a: 'new' },
    },
    {
      name: 'leaves an empty file of a replacement whose bytes were not synced',
      script: `write('a.new', 'new'); fs.renameSync('a.new', 'a'); folder('.')`,
      existing: { a: 'old' },
      left: { a: '' },
    },
    {
      name: 'brings a removed file back until the folder is synced',
      script: `fs.unlinkSync('a'); fs.fsyncSync(write('c', 'takes a free inode')); fs.unlinkSync('b'); `,
      existing: { a: 'old a', b: 'old b' },
      left: { a: 'old a', b: 'old b' },
    },
    {
      name: 'forgets a new folder until its parent is synced, and keeps it after',
      script: `fs.mkdirSync('lost'); fs.fsyncSync(write('lost/a', 'x')); folder('lost')`,
      left: {},
    },
    {
      name: 'keeps what is in folders that were synced down to it',
      script: `fs.mkdirSync('d'); fs.mkdirSync('d/e'); fs.fsyncSync(write('d/e/a', 'x')); folder('d/e'); folder('d'); folder('.')`,
      left: { d: '(folder)', 'd/e': '(folder)', 'd/e/a': 'x' },
    },
    {
      name: 'does not mix up a removed folder with a later one',
      script: `fs.mkdirSync('d'); folder('.'); fs.rmdirSync('d'); fs.mkdirSync('e'); fs.fsyncSync(write('e/a', 'x')); folder('e')`,
      left: { d: '(folder)' },
    },
    {
      name: 'takes out the fsyncs that it is told to',
      script: `fs.fsyncSync(write('a.pack', 'x')); fs.fsyncSync(write('a.other', 'y')); folder('.')`,
      skip: '*.pack',
      left: { 'a.pack': '', 'a.other': 'y' },
    },
  ]

  for (const { name, script, left, ...options } of promises) {
    it(name, async (t) => {
      const found = await survivors(t, script, options)
      if (found) assert.deepEqual(found, left)
    })
  }
})
