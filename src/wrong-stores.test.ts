import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openSqlite, readConfig, signRequest, silentLog, systemClock } from './kernel/index.ts'
import { type RunningServer, startServer, storeMigrations } from './server.ts'

const rootKey = { accessKeyId: 'ROOTKEY', secretAccessKey: 'a secret that is long enough' }

describe('a data folder that is not one whole store is refused, and nothing in it is changed:', () => {
  let folder: string
  let count = 0

  const start = (data: string): Promise<RunningServer> =>
    startServer({
      config: readConfig(
        {
          SLUICE_DATA: data,
          SLUICE_S3_PORT: '0',
          SLUICE_API_PORT: '0',
          SLUICE_RUNNER: 'process',
          SLUICE_ACCESS_KEY_ID: rootKey.accessKeyId,
          SLUICE_SECRET_ACCESS_KEY: rootKey.secretAccessKey,
        },
        { cpus: 2, folder },
      ),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })

  const send = async (url: string, method: string, body = '') => {
    const { host: _host, ...headers } = signRequest({
      method,
      url,
      headers: {},
      bodySha256: hash('sha256', body, 'hex'),
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      ...rootKey,
    })
    const response = await fetch(url, { method, headers, ...(method === 'GET' ? {} : { body }) })
    assert.equal(response.status, 200, await response.clone().text())
    return response
  }

  /** Two stores, each with a commit and content in a pack. */
  const makeStore = async (name: string) => {
    const server = await start(join(folder, name))
    await send(`${server.s3Url}/master.images`, 'PUT')
    await send(`${server.s3Url}/master.images/a.txt`, 'PUT', name.repeat(2000))
    await send(`${server.apiUrl}/v1/repos/images/branches/master/finish`, 'POST', '{}')
    await server.close()
  }
  const bytesOf = async (data: string) => {
    const bytes = new Map<string, string>()
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      // What SQLite shares between processes while somebody looks, and the lock, hold nothing.
      if (!entry.isFile() || /(-shm|lock\.sqlite.*)$/.test(path)) continue
      // An empty log is as good as none.
      const content = await readFile(path)
      if (content.length > 0 || !path.endsWith('-wal')) bytes.set(path, hash('sha256', content, 'hex'))
    }
    return bytes
  }
  const changed = async (file: string, sql: string) => {
    const db = await openSqlite({ file, log: silentLog, guarded: file.endsWith('meta.sqlite') })
    await db.write((tx) => tx.run(sql))
    await db.close()
  }
  const refused = async (damage: (data: string) => Promise<void>, code: string, says: RegExp) => {
    const data = join(folder, `case-${count++}`)
    await cp(join(folder, 'one'), data, { recursive: true })
    await damage(data)
    const beforehand = await bytesOf(data)
    await assert.rejects(start(data), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.stack)
      assert.match(error.message, says)
      return true
    })
    assert.deepEqual(await bytesOf(data), beforehand)
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-wrong-'))
    await makeStore('one')
    await makeStore('two')
  })
  after(() => rm(folder, { recursive: true, force: true }))

  it('a part is missing', async () => {
    await refused((data) => rm(join(data, 'nodes.sqlite')), 'BrokenStore', /not the nodes\.sqlite/)
    await refused((data) => rm(join(data, 'packs'), { recursive: true }), 'BrokenStore', /not the packs/)
    await refused((data) => rm(join(data, 'packs', 'store.json')), 'BrokenStore', /not the packs\/store\.json/)
    await refused((data) => rm(join(data, 'meta.sqlite')), 'BrokenStore', /nodes\.sqlite but no meta\.sqlite/)
    const onlyPacks = async (data: string) => {
      await rm(join(data, 'meta.sqlite'))
      await rm(join(data, 'nodes.sqlite'))
    }
    await refused(onlyPacks, 'BrokenStore', /packs but no meta\.sqlite/)
    await refused((data) => truncate(join(data, 'meta.sqlite')), 'BrokenStore', /empty meta\.sqlite/)
    await refused((data) => truncate(join(data, 'nodes.sqlite')), 'BrokenStore', /nodes\.sqlite in .* another store/)
    await refused((data) => writeFile(join(data, 'packs', 'store.json'), '{"st'), 'BrokenStore', /store\.json/)
  })

  it('a part is missing in a store of before stores had ids', async () => {
    const older = async (data: string) => {
      await changed(join(data, 'meta.sqlite'), "DELETE FROM store WHERE key = 'id'")
      await changed(join(data, 'nodes.sqlite'), "DELETE FROM store WHERE key = 'id'")
      await rm(join(data, 'packs', 'store.json'))
    }
    const without = (name: string) => async (data: string) => {
      await older(data)
      await rm(join(data, name), { recursive: true })
    }
    await refused(without('nodes.sqlite'), 'BrokenStore', /not the nodes\.sqlite/)
    await refused(without('packs'), 'BrokenStore', /not the packs/)
    await refused(without('meta.sqlite'), 'BrokenStore', /no meta\.sqlite/)
    // Whole, it is given one.
    const data = join(folder, 'older')
    await cp(join(folder, 'one'), data, { recursive: true })
    await older(data)
    const server = await start(data)
    assert.equal(await (await send(`${server.s3Url}/master.images/a.txt`, 'GET')).text(), 'one'.repeat(2000))
    await server.close()
    assert.match(await readFile(join(data, 'packs', 'store.json'), 'utf8'), /"store":"[0-9a-f]{32}"/)
  })

  it('its parts are of two stores', async () => {
    const mixed = (name: string) => async (data: string) => {
      await rm(join(data, name), { recursive: true })
      await cp(join(folder, 'two', name), join(data, name), { recursive: true })
    }
    for (const name of ['meta.sqlite', 'nodes.sqlite', 'packs']) {
      await refused(mixed(name), 'BrokenStore', /belongs to another store/)
    }
  })

  it('a newer release wrote it, whichever part says so', async () => {
    for (const { floor } of storeMigrations) {
      const newer = (data: string) =>
        changed(join(data, 'meta.sqlite'), `UPDATE schema_version SET version = version + 1 WHERE floor = '${floor}'`)
      await refused(newer, 'NewerStore', new RegExp(`the store's ${floor} format is version`))
    }
    const unknown = (data: string) =>
      changed(join(data, 'meta.sqlite'), "INSERT INTO schema_version (floor, version) VALUES ('weather', 1)")
    await refused(unknown, 'NewerStore', /weather/)
    const nodes = (data: string) => changed(join(data, 'nodes.sqlite'), 'UPDATE schema_version SET version = 99')
    await refused(nodes, 'NewerStore', /nodes format is version 99/)
    const packs = async (data: string) => {
      const file = join(data, 'packs', 'store.json')
      await writeFile(file, (await readFile(file, 'utf8')).replace('"format":1', '"format":2'))
    }
    await refused(packs, 'NewerStore', /packs format is version 2/)
  })

  it('a restore into it was cut off', async () => {
    await refused(
      (data) => writeFile(join(data, 'restore.json'), '{}'),
      'BrokenStore',
      /restore .* not come to its end/,
    )
  })

  it('another process uses it', async () => {
    const data = join(folder, 'used')
    await cp(join(folder, 'one'), data, { recursive: true })
    const server = await start(data)
    await assert.rejects(start(data), { code: 'StoreLocked' })
    assert.equal(await (await send(`${server.s3Url}/master.images/a.txt`, 'GET')).text(), 'one'.repeat(2000))
    await server.close()
  })

  it('it belongs to another user, and root would make files there that its owner can not write', {
    skip: process.getuid?.() === 0 ? false : 'only root can give files away',
  }, async () => {
    await refused((data) => chown(join(data, 'meta.sqlite'), 12_345, 12_345), 'BrokenStore', /number 12345/)
  })

  it('it can not be written', { skip: process.getuid?.() === 0 ? false : 'needs a second user' }, async () => {
    const data = join(folder, 'read-only')
    await cp(join(folder, 'one'), data, { recursive: true })
    await chmod(folder, 0o755)
    await chmod(data, 0o755)
    const beforehand = await bytesOf(data)
    const child = spawn(process.execPath, [new URL('./main.ts', import.meta.url).pathname], {
      uid: 65_534,
      gid: 65_534,
      env: { SLUICE_DATA: data, SLUICE_S3_PORT: '0', SLUICE_API_PORT: '0', SLUICE_LOG_LEVEL: 'error' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (piece: Buffer) => {
      said += String(piece)
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    assert.equal(code, 78, said)
    assert.match(said, /can't be used as a data folder/)
    assert.deepEqual(await bytesOf(data), beforehand)
  })
})
