/** The server is killed in the middle of an import: nothing of it is there, and nothing of it is left. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../../conformance/server.ts'
import { TAR_END, tarMember } from '../../src/versioning/testing/tar.ts'
import { type Client, createClient } from './client.ts'

const FILES = 20_000
/** So many that their tree takes a while. */
const MANY_FILES = 120_000
/** More than stands in an entry, so that there is content to be left behind. */
const content = Buffer.alloc(600, 'x')

describe('an import that the server does not survive', () => {
  let folder = ''
  let server: Server
  let api: Client
  let s3: Client
  const credentials = testCredentials()

  const start = async () => {
    server = await startServer({ folder, credentials })
    api = createClient(server.apiUrl, credentials)
    s3 = createClient(server.s3Url, credentials)
  }
  const stop = async (how: 'stop' | 'kill') => {
    api.close()
    s3.close()
    await server[how]()
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-import-kill-'))
    await start()
    await s3.send('PUT', '/master.images')
    await s3.send('PUT', '/master.images/kept', { body: Buffer.from('before') })
    assert.equal((await s3.send('POST', '/master.images', { query: 'flush=' })).status, 200)
  })
  afterEach(async () => {
    if (!server.ended) await stop('stop')
    await rm(folder, { recursive: true, force: true })
  })

  const members = function* (count: number, body = content): Generator<Buffer> {
    for (let n = 0; n < count; n++) {
      if (body.length > 0) body.writeUInt32LE(n)
      yield tarMember({ name: `folder/${String((n * 7919) % count).padStart(6, '0')}`, body })
    }
    yield TAR_END
  }
  const post = (pieces: () => Iterable<Buffer>, size: number) =>
    api.send('POST', '/v1/repos/images/branches/master/import', { body: { size, pieces } })
  const sizeOf = (count: number) => count * 1536 + TAR_END.length
  const runs = async () => (await readdir(join(folder, 'imports'), { recursive: true }).catch(() => [])).length

  /** After a new start: as if the import had never been asked for, and it can be asked for again. */
  async function expectNothing(): Promise<void> {
    await start()
    const listed = (await s3.send('GET', '/master.images', { query: 'list-type=2' })).body.toString()
    assert.deepEqual(
      [...listed.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key),
      ['kept'],
    )
    const commits = JSON.parse((await api.send('GET', '/v1/repos/images/commits')).body.toString()) as unknown[]
    assert.equal(commits.length, 1)
    assert.equal(await runs(), 0, 'temporary files are left')
    const again = await post(() => members(100), sizeOf(100))
    assert.match(again.body.toString(), /"kind":"imported".*"added":100/)
  }

  it('while the archive comes', { timeout: 120_000 }, async () => {
    const pieces = function* (): Generator<Buffer> {
      let n = 0
      for (const piece of members(FILES)) {
        yield piece
        // Later pieces are only asked for when the server has taken those before.
        if (++n === FILES / 2) setImmediate(() => void server.kill())
      }
    }
    await assert.rejects(post(pieces, sizeOf(FILES)))
    api.close()
    s3.close()
    while (!server.ended) await sleep(10)
    await expectNothing()
  })

  it('while its tree is made', { timeout: 120_000 }, async () => {
    let said = ''
    await assert.rejects(
      api.send('POST', '/v1/repos/images/branches/master/import', {
        body: { size: MANY_FILES * 512 + TAR_END.length, pieces: () => members(MANY_FILES, Buffer.alloc(0)) },
        // The first line says how far it is: all of the archive is there then.
        onData: (piece) => {
          said += piece
          void server.kill()
        },
      }),
    )
    assert.match(said, /"placing"/)
    assert.doesNotMatch(said, /"imported"/)
    api.close()
    s3.close()
    while (!server.ended) await sleep(10)
    await expectNothing()
  })
})
