import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig, signRequest, silentLog, systemClock } from '../../src/kernel/index.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { versioningMigrations } from '../../src/versioning/index.ts'
import { type KeptFacts, keptKey, layOut, MIB, textOfPart } from './kept-store.ts'

// How long a job may take on a busy machine.
const JOB_TRIES = 300

describe('a store of schema version 1, left behind by a crash', () => {
  let folder: string
  let facts: KeptFacts
  let server: RunningServer

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'))
    facts = await layOut('version-1', folder)
    // The new release is killed too: before, in and right after the large migration, of which nothing is to stay, or all.
    const large = versioningMigrations.migrations[1]!.up.length
    for (const runs of [1, 2, large / 2, large + 1, large + 2]) {
      const script = new URL('./crash-migration.ts', import.meta.url).pathname
      const child = spawn(process.execPath, [script, join(folder, 'meta.sqlite'), String(Math.floor(runs))], {
        stdio: 'inherit',
      })
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
      assert.equal(signal, 'SIGKILL', `after ${runs} statements`)
    }
    const env = {
      SLUICE_DATA: folder,
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      SLUICE_BATCH_IDLE_MS: '3600000',
      SLUICE_BATCH_MAX_AGE_MS: '86400000',
      SLUICE_ACCESS_KEY_ID: keptKey.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: keptKey.secretAccessKey,
    }
    server = await startServer({
      config: readConfig(env, { cpus: 2, folder }),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })
  })
  after(async () => {
    await server?.close()
    await rm(folder, { recursive: true, force: true })
  })

  const send = (method: string, url: string, body?: string | Buffer) => {
    const { host: _host, ...headers } = signRequest({
      method,
      url,
      headers: {},
      bodySha256: hash('sha256', body ?? '', 'hex'),
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      ...keptKey,
    })
    return fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
    })
  }
  const s3 = (method: string, path: string, body?: string | Buffer) => send(method, `${server.s3Url}/${path}`, body)
  const api = (method: string, path: string) => send(method, server.apiUrl + path, '{}')
  const textOf = async (path: string) => {
    const response = await s3('GET', path)
    return response.ok ? response.text() : response.status
  }
  const keysOf = async (bucket: string) => {
    const listing = await (await s3('GET', `${bucket}?list-type=2`)).text()
    return [...listing.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key)
  }

  it('shows what was acknowledged, in commits and since, and what was deleted stays so', async () => {
    assert.deepEqual(await keysOf('images'), ['a.txt', 'c.txt', 'dir/b.txt', 'done.bin', 'table/_temporary/part'])
    assert.equal(await textOf('images/a.txt'), 'three')
    assert.equal(await textOf('images/c.txt'), 'in the open batch')
    assert.equal(await textOf('images/dir/b.txt'), 'b'.repeat(2000))
    assert.equal(await textOf('images/big.bin'), 404)
    const { first, second, restored, output } = facts.commits
    assert.deepEqual(await keysOf(`${second}.images`), ['a.txt', 'big.bin', 'table/_temporary/part'])
    assert.equal(await textOf(`${first}.images/a.txt`), 'one')
    assert.equal(await textOf(`${second}.images/a.txt`), 'two')
    assert.equal(await textOf(`${restored}.images/a.txt`), 'one')
    assert.equal(await textOf(`${output}.copies/a.txt`), 'two')
    assert.equal(await textOf('dev.images/d.txt'), 'written into a commit that is held open')
    const big = Buffer.from(await (await s3('GET', `${first}.images/big.bin`)).arrayBuffer())
    assert.ok(big.equals(Buffer.alloc(3 * MIB, 'big')))
    const head = await s3('HEAD', `${first}.images/a.txt`)
    assert.equal(head.headers.get('content-type'), 'text/x-first')
    assert.equal(head.headers.get('x-amz-meta-colour'), 'blue')
  })

  it('lists its changes as versions, by the ids that their writers were told', async () => {
    const listing = await (await s3('GET', 'images?versions&prefix=a.txt')).text()
    const listed = [...listing.matchAll(/<VersionId>([^<]+)<\/VersionId>/g)].map(([, version]) => version)
    assert.deepEqual(listed, facts.versions.toReversed())
    const texts = facts.versions.map((version) => textOf(`images/a.txt?versionId=${version}`))
    assert.deepEqual(await Promise.all(texts), ['one', 'two', 'three'])
    // A file that lies where scratch files do now is a version all the same.
    assert.equal((await s3('DELETE', 'images/table/_temporary/part')).status, 204)
    assert.equal(await textOf('images/table/_temporary/part'), 404)
    assert.equal((await s3('PUT', 'images/table/_temporary/part', 'scratch')).status, 200)
    assert.equal(await textOf('images/table/_temporary/part'), 'scratch')
    assert.match(await (await s3('GET', 'images?versions&prefix=table')).text(), /<DeleteMarker>.*<Version>/s)
  })

  it('goes on with uploads, and answers a Complete asked again', async () => {
    const { done, complete, open, openPart } = facts.uploads
    assert.equal((await s3('POST', `images/done.bin?uploadId=${done}`, complete)).status, 200)
    const bytes = Buffer.from(await (await s3('GET', 'images/done.bin')).arrayBuffer())
    assert.ok(bytes.equals(Buffer.concat([textOfPart(1), textOfPart(2)])))
    assert.match(await (await s3('GET', 'images?uploads')).text(), new RegExp(`<UploadId>${open}</UploadId>`))
    const part = await s3('PUT', `images/half.bin?partNumber=2&uploadId=${open}`, textOfPart(2))
    const parts = [openPart, part.headers.get('etag')].map(
      (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    )
    const document = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
    assert.equal((await s3('POST', `images/half.bin?uploadId=${open}`, document)).status, 200)
    assert.equal((await s3('HEAD', 'images/half.bin')).headers.get('content-length'), bytes.length.toString())
  })

  it('finishes what was open, and its pipeline goes on', async () => {
    const dev = (await (await api('POST', '/v1/repos/images/branches/dev/finish')).json()) as { message: string }
    assert.equal(dev.message, 'held open')
    assert.equal((await api('POST', '/v1/repos/images/branches/master/finish')).status, 200)
    assert.equal(await textOf('images/a.txt'), 'three')
    assert.equal(await textOf('images/dir/b.txt'), 'b'.repeat(2000))
    let made: string | number = 404
    for (let attempt = 0; attempt < JOB_TRIES && made !== 'three'; attempt++) {
      made = await textOf('copies/a.txt')
      await sleep(100)
    }
    assert.equal(made, 'three')
  })
})
