import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openFileStore } from '../../src/cloud/index.ts'
import { type KeyPair, readConfig, signRequest, silentLog, systemClock } from '../../src/kernel/index.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { type CommitId, parseBranchName, restoreBackup, versioningMigrations } from '../../src/versioning/index.ts'
import { assertSound } from '../../src/versioning/testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, type TestStore } from '../../src/versioning/testing/store.ts'
import { tx } from '../../src/versioning/testing/transactions.ts'
import { keptKey, layOut, MIB, type SecondFacts, textOfPart } from './kept-store.ts'

const images = branchOf('images@master')
const openTransaction = tx('open')

describe('a store of schema version 2, left behind by a crash', { timeout: 120_000 }, () => {
  let base: string
  let folder: string
  let facts: SecondFacts
  let server: RunningServer

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'))
    folder = join(base, 'data')
    facts = await layOut<SecondFacts>('version-2', folder)
    // The new release is killed too: before, in and at the end of its migration, of which nothing is to stay, or all.
    const large = versioningMigrations.migrations[2]!.up.length
    for (const runs of [1, 2, large / 2, large + 1]) {
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
      config: readConfig(env, { cpus: 2, folder: base }),
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
    await rm(base, { recursive: true, force: true })
  })

  const send = (method: string, url: string, body?: string | Buffer, key: KeyPair = keptKey) => {
    const { host: _host, ...headers } = signRequest({
      method,
      url,
      headers: {},
      bodySha256: hash('sha256', body ?? '', 'hex'),
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      ...key,
    })
    return fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
    })
  }
  const s3 = (method: string, path: string, body?: string | Buffer, key?: KeyPair) =>
    send(method, `${server.s3Url}/${path}`, body, key)
  const textOf = async (path: string, key?: KeyPair) => {
    const response = await s3('GET', path, undefined, key)
    return response.ok ? response.text() : response.status
  }
  const keysOf = async (bucket: string) => {
    const listing = await (await s3('GET', `${bucket}?list-type=2`)).text()
    return [...listing.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key)
  }

  it('shows what was acknowledged, on branches, in commits and in an open transaction', async () => {
    const { first, second, restored, transaction, dev, output } = facts.commits
    assert.deepEqual(await keysOf('images'), [
      'a.txt',
      'beside.txt',
      'big.bin',
      'c.txt',
      'loaded.txt',
      'table/_temporary/part',
    ])
    assert.deepEqual(await keysOf(`${second}.images`), ['a.txt', 'big.bin'])
    assert.deepEqual(await keysOf(`${transaction}.images`), ['a.txt', 'beside.txt', 'big.bin', 'loaded.txt'])
    assert.deepEqual(await keysOf(`${dev}.images`), ['a.txt', 'big.bin', 'dev.txt'])
    assert.deepEqual(await keysOf(`${restored}.images`), ['a.txt', 'big.bin', 'dir/b.txt'])
    assert.equal(await textOf('images/a.txt'), 'three')
    assert.equal(await textOf('images/c.txt'), 'in the open batch')
    assert.equal(await textOf('images/table/_temporary/part'), 'a scratch file')
    assert.equal(await textOf(`${first}.images/dir/b.txt`), 'b'.repeat(2000))
    assert.equal(await textOf(`${output}.copies/a.txt`), 'two')
    assert.equal(await textOf('tx-open.master.images/unfinished.txt'), 'in an open transaction')
    assert.equal(await textOf('tx-open.master.images/loaded.txt'), 'written in a transaction')
    assert.equal(await textOf('master.target/pushed/a.txt'), 'one')
    const big = Buffer.from(await (await s3('GET', `${restored}.images/big.bin`)).arrayBuffer())
    assert.ok(big.equals(Buffer.alloc(3 * MIB, 'big')))
  })

  it('lists its versions without the one that was deleted, with their tags', async () => {
    const listing = await (await s3('GET', 'images?versions&prefix=a.txt')).text()
    const listed = [...listing.matchAll(/<VersionId>([^<]+)<\/VersionId>/g)].map(([, version]) => version)
    assert.deepEqual(listed, facts.versions.toReversed())
    const texts = facts.versions.map((version) => textOf(`images/a.txt?versionId=${version}`))
    assert.deepEqual(await Promise.all(texts), ['one', 'two', 'three'])
    assert.equal(await textOf(`images/a.txt?versionId=${facts.hidden}`), 404)
    const tagging = await (await s3('GET', `images/a.txt?tagging&versionId=${facts.versions[0]}`)).text()
    assert.match(tagging, /<Key>colour<\/Key><Value>blue<\/Value>/)
  })

  it('knows its users, their roles and its pushes', async () => {
    assert.equal(await textOf('images/a.txt', facts.user), 'three')
    assert.equal((await s3('PUT', 'images/no.txt', 'x', facts.user)).status, 403)
    const egress = await send('GET', `${server.apiUrl}/v1/egress/${facts.egress}`)
    assert.match(await egress.text(), /"state":"success"/)
  })

  it('goes on with its uploads', async () => {
    const { open, openPart } = facts.uploads
    const part = await s3('PUT', `images/half.bin?partNumber=2&uploadId=${open}`, textOfPart(2))
    const parts = [openPart, part.headers.get('etag')].map(
      (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    )
    const document = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
    assert.equal((await s3('POST', `images/half.bin?uploadId=${open}`, document)).status, 200)
    const bytes = Buffer.from(await (await s3('GET', 'images/half.bin')).arrayBuffer())
    assert.ok(bytes.equals(Buffer.concat([textOfPart(1), textOfPart(2)])))
  })

  describe('takes what is new:', () => {
    let store: TestStore
    before(async () => {
      await server.close()
      store = await openTestStore({ folder })
    })
    after(() => store.close())

    it('checks find nothing wrong, deep or not', async () => {
      await assertSound(store)
      await assertSound(store, { deep: true })
    })

    it('transactions end, branches merge, commits are tagged', async () => {
      const { versioning } = store
      await versioning.transactions.finish(openTransaction)
      assert.equal(await getText(versioning, images, 'unfinished.txt'), 'in an open transaction')
      const merged = await versioning.merges.merge(images, facts.commits.dev as CommitId)
      assert.equal(merged.kind, 'merged')
      assert.equal(await getText(versioning, images, 'dev.txt'), 'on another branch')
      await versioning.commitTags.create(images.repo, parseBranchName('kept'), facts.commits.first as CommitId)
      await assertSound(store)
    })

    it('collection and retention remove what they may, and nothing else', async () => {
      const { versioning } = store
      await versioning.retention.set(images.repo, { keepCommits: 1 })
      for await (const _ of versioning.maintenance.gc({ graceMs: 0 })) {
        // To its end.
      }
      await assertSound(store, { deep: true })
      const tagged = { kind: 'commit', repo: images.repo, commit: facts.commits.first as CommitId } as const
      assert.equal(await getText(versioning, tagged, 'a.txt'), 'one')
      assert.equal(await getText(versioning, images, 'a.txt'), 'three')
      await assert.rejects(versioning.getCommit(images.repo, facts.commits.second as CommitId))
    })

    it('it is backed up, and what is restored is the same', async () => {
      const place = await openFileStore(join(base, 'place'), { clock: systemClock })
      for await (const _ of store.versioning.backups.create(place)) {
        // To its end.
      }
      const dataFolder = join(base, 'restored')
      for await (const _ of restoreBackup({ place, dataFolder, log: silentLog })) {
        // To its end.
      }
      const copy = await openTestStore({ folder: dataFolder })
      await assertSound(copy, { deep: true })
      assert.equal(await getText(copy.versioning, images, 'a.txt'), 'three')
      await putText(copy.versioning, images, 'more.txt', 'and it goes on')
      // The scratch file holds the batch open.
      const sealed = await copy.versioning.seal(images, { force: true })
      await copy.versioning.waitForCommit(sealed!.commit)
      assert.equal(await getText(copy.versioning, images, 'more.txt'), 'and it goes on')
      await copy.close()
    })
  })
})
