import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
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
} from '../../kernel/index.ts'
import { expiryOf, hintOf } from './info.ts'
import type { SecretParts } from './parts.ts'
import { cloudMigrations } from './schema.ts'
import { openSecretStore, SecretExists, SecretNotFound } from './store.ts'

const canary = 'canary/Secret+Key=0123456789'
const input = { name: 'minio', accessKeyId: 'AKIATEST', secretAccessKey: canary, endpoint: 'HTTPS://Minio.Corp:443' }

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const keyFile = {
  type: 'service_account',
  project_id: 'project',
  private_key_id: 'abc123',
  private_key: pem,
  client_email: 'pusher@project.iam.gserviceaccount.com',
  token_uri: 'https://evil.example/token',
  universe_domain: 'googleapis.com',
}
const google = { kind: 'gcs', serviceAccount: JSON.stringify(keyFile) } as const
const accountKey = Buffer.alloc(64, 7).toString('base64')
const sas = 'sv=2024-11-04&ss=b&srt=sco&sp=rwdlac&se=2030-01-02T03:04:05Z&sig=canary%2Bsignature%3D'

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
  const secretOf = async (name: string) => JSON.stringify((await (await open()).open(name)).credentials)

  /** The problems that a secret of these parts is refused with; none of them may show what was given. */
  const problems = async (parts: SecretParts, canaries: readonly string[] = ['canary']): Promise<readonly string[]> => {
    const secrets = await open()
    let found: readonly string[] = []
    await assert.rejects(secrets.create({ name: 'refused', ...parts }), (error) => {
      assert.ok(error instanceof InvalidInput)
      const shown = JSON.stringify([error.message, error.data])
      for (const each of canaries) assert.ok(!shown.includes(each), shown)
      found = error.data['problems'] as string[]
      return true
    })
    return found
  }

  it('gives the secret part to the driver alone, also after a restart', async () => {
    const secrets = await open()
    const shown = [await secrets.create(input), await secrets.list(), await secrets.inspect('minio')]
    assert.ok(!JSON.stringify(shown).includes('canary'))
    assert.equal((await secrets.inspect('minio')).endpoint, 'https://minio.corp')
    assert.deepEqual((await (await open()).open('minio')).credentials, {
      kind: 's3',
      accessKeyId: 'AKIATEST',
      secretAccessKey: canary,
    })
  })

  it('keeps no secret in clear in any file, and its key where only its owner reads', async () => {
    const secrets = await open()
    await secrets.create({ ...input, name: 'other' })
    await secrets.create({ name: 'other-sas', kind: 'azure', account: 'acc', sas })
    await secrets.create({ name: 'other-google', ...google })
    for (const file of ['sluice.db', 'sluice.db-wal', 'secrets.key']) {
      const content = await readFile(join(folder, file))
      for (const secret of ['canary', pem.slice(40, 80)]) assert.ok(!content.includes(secret), file)
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
    assert.ok(JSON.stringify(await two!.open('by-one')).includes(canary))
  })

  it('says what is wrong, all at once, and never what the secret was', async () => {
    const wrong = { accessKeyId: 'a b', secretAccessKey: `${canary}\n`, region: 'no region', endpoint: 'https://u:p@x' }
    assert.equal((await problems(wrong)).length, 4)
    const secrets = await open()
    await assert.rejects(secrets.create({ ...wrong, name: 'Bad Name' }), (error) => {
      assert.equal(((error as InvalidInput).data['problems'] as string[]).length, 5)
      return true
    })
    assert.equal((await problems({})).length, 2)
  })

  it('takes no part of another kind, and says to say the kind', async () => {
    const [problem] = await problems({ ...input, sas })
    assert.match(problem!, /sas is no part of a secret for Amazon S3 and its like: say its kind/)
    assert.equal((await problems({ ...google, accessKeyId: 'x', account: 'acc' })).length, 2)
    assert.match((await problems({ kind: 'azure', account: 'acc', accountKey, region: 'x' }))[0]!, /region is no part/)
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

  describe("of Google's", () => {
    it("keeps the account's key, and not where the file would have tokens asked for", async () => {
      const secrets = await open()
      const info = await secrets.create({ name: 'google', ...google })
      assert.deepEqual(
        { ...info, createdMs: 0, updatedMs: 0 },
        {
          name: 'google',
          kind: 'gcs',
          clientEmail: keyFile.client_email,
          privateKeyId: 'abc123',
          createdMs: 0,
          updatedMs: 0,
        },
      )
      const opened = await secrets.open('google')
      assert.deepEqual(opened.credentials, {
        kind: 'gcs',
        clientEmail: keyFile.client_email,
        privateKey: pem,
        privateKeyId: 'abc123',
      })
      assert.ok(!JSON.stringify(opened).includes('evil'))
    })

    it('is refused for a file of another kind, and shows nothing of it', async () => {
      const lines = [pem.slice(40, 80)]
      const of = (change: object) =>
        problems({ kind: 'gcs', serviceAccount: JSON.stringify({ ...keyFile, ...change }) }, lines)
      assert.match((await of({ type: 'authorized_user' }))[0]!, /not that of a service account/)
      assert.match((await of({ client_email: undefined }))[0]!, /no client_email/)
      assert.match((await of({ private_key: pem.slice(0, -300) }))[0]!, /no private_key that is an RSA key/)
      assert.match((await of({ universe_domain: 'other.cloud' }))[0]!, /another cloud/)
      assert.equal((await of({ type: 1, client_email: 1, private_key: 1 })).length, 3)
      assert.deepEqual(await problems({ kind: 'gcs', serviceAccount: pem }, lines), ['its key file is not JSON'])
      assert.deepEqual(await problems({ kind: 'gcs', serviceAccount: '[]' }), ['its key file is not a JSON object'])
      assert.match((await problems({ kind: 'gcs' }))[0]!, /lacks serviceAccount/)
    })
  })

  describe("of Azure's", () => {
    it('signs with the key of the account', async () => {
      const secrets = await open()
      const info = await secrets.create({ name: 'azure', kind: 'azure', account: 'acc', accountKey })
      assert.ok(info.kind === 'azure' && info.signsWith === 'account key' && info.endpoint === undefined)
      const { credentials } = await secrets.open('azure')
      assert.deepEqual(credentials, { kind: 'azure', account: 'acc', signWith: { accountKey } })
      assert.equal(hintOf(info).endpoint, 'https://acc.blob.core.windows.net')
    })

    it('signs with a shared access signature, whose end it shows', async () => {
      const secrets = await open()
      const info = await secrets.create({ name: 'azure-sas', kind: 'azure', account: 'acc', sas: `?${sas}` })
      assert.ok(info.kind === 'azure')
      assert.equal(info.expiresMs, Date.parse('2030-01-02T03:04:05Z'))
      assert.deepEqual((await secrets.open('azure-sas')).credentials, {
        kind: 'azure',
        account: 'acc',
        signWith: { sas },
      })
    })

    it('takes a connection string apart', async () => {
      const secrets = await open()
      const cases: readonly (readonly [string, string, string | undefined, object])[] = [
        [
          `DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=${accountKey};EndpointSuffix=core.windows.net`,
          'acc',
          undefined,
          { accountKey },
        ],
        [
          `AccountName=acc;AccountKey=${accountKey};EndpointSuffix=core.chinacloudapi.cn;`,
          'acc',
          'https://acc.blob.core.chinacloudapi.cn',
          { accountKey },
        ],
        [
          `BlobEndpoint=https://acc.blob.core.windows.net/;QueueEndpoint=https://acc.queue.core.windows.net/;SharedAccessSignature=${sas}`,
          'acc',
          undefined,
          { sas },
        ],
        [
          `AccountName=acc;AccountKey=${accountKey};BlobEndpoint=http://azurite:10000/acc;`,
          'acc',
          'http://azurite:10000/acc',
          { accountKey },
        ],
      ]
      for (const [index, [connectionString, account, endpoint, signWith]] of cases.entries()) {
        const name = `connection-${index}`
        const info = await secrets.create({ name, kind: 'azure', connectionString })
        assert.equal(info.endpoint, endpoint, connectionString)
        assert.deepEqual((await secrets.open(name)).credentials, { kind: 'azure', account, signWith }, connectionString)
      }
      const emulator = { name: 'emulator', kind: 'azure', connectionString: 'UseDevelopmentStorage=true' } as const
      const info = await secrets.create(emulator)
      assert.equal(info.endpoint, 'http://127.0.0.1:10000/devstoreaccount1')
    })

    it('is refused for what can not work, and shows nothing of it', async () => {
      const of = (parts: Omit<SecretParts, 'kind'>) => problems({ kind: 'azure', ...parts }, ['canary', accountKey])
      assert.match((await of({ account: 'acc' }))[0]!, /either an account key or a shared access signature/)
      assert.match((await of({ account: 'acc', accountKey, sas }))[0]!, /either an account key or/)
      assert.match((await of({ account: 'My-Acc', accountKey }))[0]!, /3 to 24 lower-case letters and digits/)
      assert.match((await of({ account: 'acc', accountKey: canary }))[0]!, /not as Azure shows it/)
      assert.match((await of({ account: 'acc', sas: 'canary' }))[0]!, /no sig=/)
      assert.match((await of({ account: 'acc', sas: `https://acc.x/?${sas}` }))[0]!, /not a query/)
      assert.match((await of({ account: 'acc', sas: sas.replace('sp=rwdlac', 'sp=rl') }))[0]!, /allows no writing/)
      assert.match((await of({ account: 'acc', sas: `${sas}&sr=b` }))[0]!, /for one blob/)
      assert.match((await of({ account: 'acc', sas: sas.replace('ss=b', 'ss=q') }))[0]!, /not for the blob service/)
      assert.match((await of({ account: 'acc', sas: sas.replace('srt=sco', 'srt=s') }))[0]!, /not for objects/)
      assert.match((await of({ account: 'acc', sas: sas.replace('2030', 'year') }))[0]!, /se=\) is not a time/)
      assert.match((await of({ connectionString: `AccountName=acc;canary;AccountKey=${accountKey}` }))[0]!, /not known/)
      assert.match((await of({ connectionString: 'UseDevelopmentStorage=true;AccountName=acc' }))[0]!, /alone/)
      const doubled = { connectionString: `AccountName=acc;AccountKey=${accountKey}`, accountKey }
      assert.match((await of(doubled))[0]!, /a connection string goes without accountKey/)
      const away = { account: 'acc', accountKey, endpoint: 'https://other.blob.core.windows.net' }
      assert.match((await of(away))[0]!, /not that of the storage account acc/)
    })

    it('warns before a signature ends, and says when it has', async () => {
      const secrets = await open()
      const info = await secrets.create({ name: 'ending', kind: 'azure', account: 'acc', sas })
      const end = Date.parse('2030-01-02T03:04:05Z')
      const day = 24 * 60 * 60 * 1000
      assert.equal(expiryOf(info, end - 15 * day), undefined)
      const near = expiryOf(info, end - 13 * day)
      assert.ok(near && !near.over)
      assert.match(near.text, /secret ending expires on 2030-01-02T03:04:05Z: .*sluice secret update ending --sas -/)
      assert.ok(expiryOf(info, end)?.over)
    })
  })

  describe('when it is rotated', () => {
    it('gives the new part to the next push, under the same name and place', async () => {
      const secrets = await open()
      const before = await secrets.create({ ...input, name: 'rotated', region: 'eu-central-1' })
      const after = await secrets.update({ name: 'rotated', accessKeyId: 'AKIANEW', secretAccessKey: 'another' })
      assert.ok(after.kind === 's3')
      assert.deepEqual(
        [after.accessKeyId, after.endpoint, after.region, after.createdMs],
        ['AKIANEW', 'https://minio.corp', 'eu-central-1', before.createdMs],
      )
      assert.deepEqual((await secrets.open('rotated')).info, await secrets.inspect('rotated'))
      assert.ok((await secretOf('rotated')).includes('another'))
      await secrets.update({ name: 'rotated', secretAccessKey: 'third' })
      const { credentials } = await secrets.open('rotated')
      assert.ok(credentials.kind === 's3' && credentials.accessKeyId === 'AKIANEW')
      assert.equal(credentials.secretAccessKey, 'third')
    })

    it('may go from an account key to a signature, and back', async () => {
      const secrets = await open()
      await secrets.create({ name: 'turned', kind: 'azure', account: 'acc', accountKey })
      await secrets.update({ name: 'turned', kind: 'azure', sas })
      assert.ok((await secretOf('turned')).includes('canary'))
      const info = await secrets.update({ name: 'turned', kind: 'azure', accountKey })
      assert.ok(info.kind === 'azure' && info.expiresMs === undefined)
      assert.ok((await secretOf('turned')).includes(accountKey))
    })

    it('moves nowhere else', async () => {
      const secrets = await open()
      await secrets.create({ ...input, name: 'staying' })
      await secrets.create({ name: 'staying-azure', kind: 'azure', account: 'acc', accountKey })
      const endpoint = 'https://acc.blob.core.chinacloudapi.cn'
      await secrets.create({ name: 'staying-china', kind: 'azure', account: 'acc', accountKey, endpoint })
      for (const [change, message] of [
        [{ name: 'staying', secretAccessKey: 'x', endpoint: 'https://evil.example' }, /stays https:\/\/minio\.corp/],
        [{ name: 'staying', ...google }, /is for Amazon S3 and its like, these parts are for Google/],
        [{ name: 'staying-azure', kind: 'azure', account: 'other', accountKey }, /storage account stays acc/],
        [
          { name: 'staying-azure', kind: 'azure', accountKey, endpoint: 'https://blobs.example.com' },
          /endpoint stays the service's own/,
        ],
        [
          {
            name: 'staying-china',
            connectionString: `BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=${sas}`,
          },
          /endpoint stays https:\/\/acc\.blob\.core\.chinacloudapi\.cn/,
        ],
        [{ name: 'staying' }, /its secret key is 1 to 1024 characters/],
      ] as const) {
        await assert.rejects(secrets.update(change), { name: 'InvalidInput', message })
      }
      assert.ok((await secretOf('staying')).includes(canary))
      await assert.rejects(secrets.update({ name: 'nobody', secretAccessKey: 'x' }), SecretNotFound)
    })
  })
})

describe('secrets of the first release', () => {
  it('are there after an upgrade, and still open', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-secrets-old-'))
    const db = await openSqlite({ file: join(folder, 'sluice.db'), log: silentLog })
    try {
      await migrate(db, [{ ...cloudMigrations, migrations: cloudMigrations.migrations.slice(0, 1) }])
      const box = await openSecretBox(folder)
      // As the first release sealed and wrote it.
      const sealed = box.seal(canary, Buffer.from(JSON.stringify(['s3', 'old', 'AKIAOLD'])))
      await db.write((tx) =>
        tx.run('INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?, ?)', [
          'old',
          's3',
          'AKIAOLD',
          sealed,
          'https://minio.corp',
          null,
          1_700_000_000_000,
        ]),
      )
      await migrate(db, [cloudMigrations])
      const { info, credentials } = await openSecretStore({ db, box, clock: systemClock }).open('old')
      assert.deepEqual(info, {
        name: 'old',
        kind: 's3',
        accessKeyId: 'AKIAOLD',
        endpoint: 'https://minio.corp',
        createdMs: 1_700_000_000_000,
        updatedMs: 1_700_000_000_000,
      })
      assert.deepEqual(credentials, { kind: 's3', accessKeyId: 'AKIAOLD', secretAccessKey: canary })
    } finally {
      await db.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
