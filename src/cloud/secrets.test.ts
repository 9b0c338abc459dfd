import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  Corrupt,
  type Database,
  InvalidInput,
  migrate,
  openSecretBox,
  openSqlite,
  silentLog,
  systemClock,
} from '../kernel/index.ts'
import { cloudMigrations, openSecretStore, SecretExists, SecretNotFound } from './secrets.ts'

const canary = 'canary/Secret+Key=0123456789'
const input = { name: 'minio', accessKeyId: 'AKIATEST', secretAccessKey: canary, endpoint: 'HTTPS://Minio.Corp:443' }

describe('the secret store', () => {
  let folder: string
  let db: Database
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-secrets-'))
    db = await openSqlite({ file: join(folder, 'sluice.db'), log: silentLog })
    await migrate(db, [cloudMigrations])
  })
  after(async () => {
    await db.close()
    await rm(folder, { recursive: true, force: true })
  })
  const open = async (keyFolder = folder) =>
    openSecretStore({ db, box: await openSecretBox(keyFolder), clock: systemClock })

  it('gives the secret part to the driver alone, also after a restart', async () => {
    const secrets = await open()
    const shown = [await secrets.create(input), await secrets.list(), await secrets.inspect('minio')]
    assert.ok(!JSON.stringify(shown).includes('canary'))
    assert.equal((await secrets.inspect('minio')).endpoint, 'https://minio.corp')
    assert.equal((await (await open()).open('minio')).secretAccessKey, canary)
  })

  it('keeps no secret in clear in any file, and its key where only its owner reads', async () => {
    const secrets = await open()
    await secrets.create({ ...input, name: 'other' })
    for (const file of ['sluice.db', 'sluice.db-wal', 'secrets.key']) {
      assert.ok(!(await readFile(join(folder, file))).includes('canary'), file)
    }
    assert.equal((await stat(join(folder, 'secrets.key'))).mode & 0o777, 0o600)
  })

  it('opens a value neither in another row nor under another key', async () => {
    const secrets = await open()
    await secrets.create({ ...input, name: 'mine' })
    await db.write((tx) =>
      tx.run("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'minio') WHERE name = 'mine'"),
    )
    await assert.rejects(secrets.open('mine'), Corrupt)
    const elsewhere = await open(join(folder, 'new'))
    await assert.rejects(elsewhere.open('minio'), Corrupt)
  })

  it('never replaces a key file that is damaged', async () => {
    const damaged = join(folder, 'damaged')
    await open(damaged)
    await writeFile(join(damaged, 'secrets.key'), 'short')
    await assert.rejects(open(damaged), Corrupt)
    assert.equal(await readFile(join(damaged, 'secrets.key'), 'utf8'), 'short')
  })

  it('makes one key when two start at once', async () => {
    const shared = join(folder, 'shared')
    const [one, two] = await Promise.all([open(shared), open(shared)])
    await one!.create({ ...input, name: 'by-one' })
    assert.equal((await two!.open('by-one')).secretAccessKey, canary)
  })

  it('says what is wrong, all at once, and never what the secret was', async () => {
    const secrets = await open()
    const wrong = { name: 'Bad Name', accessKeyId: 'a b', secretAccessKey: `${canary}\n`, region: 'no region' }
    await assert.rejects(secrets.create(wrong), (error) => {
      assert.ok(error instanceof InvalidInput)
      assert.equal((error.data['problems'] as string[]).length, 4)
      assert.ok(!JSON.stringify([error.message, error.data]).includes('canary'))
      return true
    })
    await assert.rejects(secrets.create({ ...input, name: 'x', endpoint: 'https://u:p@x' }), InvalidInput)
  })

  it('replaces no secret, and forgets one for good', async () => {
    const secrets = await open()
    await secrets.create({ ...input, name: 'twice' })
    await assert.rejects(secrets.create({ ...input, name: 'twice' }), SecretExists)
    await secrets.delete('twice')
    await assert.rejects(secrets.delete('twice'), SecretNotFound)
    await assert.rejects(secrets.inspect('twice'), SecretNotFound)
    await assert.rejects(secrets.open('twice'), { code: 'SecretNotFound', message: /sluice secret create NAME/ })
  })
})
