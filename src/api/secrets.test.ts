import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { SecretJson } from './contract.ts'
import { testApi } from './testing/api.ts'
import { faultsOf } from './testing/conforms.ts'
import { codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const accountKey = Buffer.alloc(64, 9).toString('base64')
const sas = 'sv=2024-11-04&sr=c&sp=rwdl&se=2020-01-02T03:04:05Z&sig=canary'
const serviceAccount = JSON.stringify({
  type: 'service_account',
  client_email: 'pusher@project.iam.gserviceaccount.com',
  private_key: pem,
  private_key_id: 'key-1',
})

describe('secrets over the API', () => {
  let stack: Stack
  before(async () => {
    stack = await openStack()
  })
  after(() => stack.close())

  const create = (body: object) => send(stack.url, { path: '/v1/secrets', method: 'POST', body: JSON.stringify(body) })
  const update = (name: string, body: object) =>
    send(stack.url, { path: `/v1/secrets/${name}`, method: 'PUT', body: JSON.stringify(body) })
  const inspect = async (name: string) =>
    JSON.parse((await send(stack.url, { path: `/v1/secrets/${name}` })).text) as SecretJson

  it('are of three kinds, and show who they sign as and nothing that signs', async () => {
    for (const [name, body, shown] of [
      ['plain', { accessKeyId: 'AK', secretAccessKey: 'canary' }, { kind: 's3', accessKeyId: 'AK' }],
      [
        'google',
        { kind: 'gcs', serviceAccount },
        { kind: 'gcs', clientEmail: 'pusher@project.iam.gserviceaccount.com', privateKeyId: 'key-1' },
      ],
      [
        'azure',
        { kind: 'azure', account: 'acc', accountKey },
        { kind: 'azure', account: 'acc', signsWith: 'account key' },
      ],
      [
        'signature',
        { kind: 'azure', account: 'acc', sas },
        { kind: 'azure', signsWith: 'shared access signature', expires: '2020-01-02T03:04:05.000Z' },
      ],
      [
        'connected',
        { kind: 'azure', connectionString: `AccountName=acc;AccountKey=${accountKey}` },
        { kind: 'azure', account: 'acc', signsWith: 'account key' },
      ],
    ] as const) {
      const made = await create({ name, ...body })
      assert.equal(made.status, 201, made.text)
      const found = await inspect(name)
      assert.deepEqual(faultsOf('Secret', found), [])
      assert.deepEqual(JSON.parse(made.text), found)
      for (const [field, value] of Object.entries(shown)) {
        assert.equal((found as unknown as Record<string, unknown>)[field], value, `${name} ${field}`)
      }
    }
    const listed = (await send(stack.url, { path: '/v1/secrets' })).text
    assert.equal((JSON.parse(listed) as unknown[]).length, 5)
    for (const secret of ['canary', accountKey, pem.slice(40, 80)]) assert.ok(!listed.includes(secret))
  })

  it('that have expired say so, and what to do', async () => {
    assert.match(
      (await inspect('signature')).warning ?? '',
      /expired on 2020-01-02T03:04:05Z: .*secret update signature/,
    )
    assert.equal((await inspect('azure')).warning, undefined)
  })

  it('are rotated under their name, and stay where they belong', async () => {
    const reply = await update('plain', { accessKeyId: 'NEW', secretAccessKey: 'canary' })
    assert.equal(reply.status, 200, reply.text)
    assert.deepEqual(faultsOf('Secret', JSON.parse(reply.text)), [])
    const found = await inspect('plain')
    assert.ok(found.kind === 's3' && found.accessKeyId === 'NEW')
    assert.match(messageOf(await update('plain', { kind: 'gcs', serviceAccount })), /can't be moved/)
    assert.match(messageOf(await update('azure', { account: 'other', accountKey })), /stays acc/)
    assert.equal(codeOf(await update('nobody', { secretAccessKey: 'x' })), 'SecretNotFound')
  })

  it('stay while an egress that has not ended signs with them', async () => {
    const api = testApi(() => stack)
    await api.newBranch('results')
    await api.commit('results', { a: 'a' })
    assert.equal((await create({ name: 'busy', accessKeyId: 'AK', secretAccessKey: 'SK' })).status, 201)
    const ask = (path: string, body: object) => send(stack.url, { path, method: 'POST', body: JSON.stringify(body) })
    const egress = { URL: 's3://bucket/dir', secret: 'busy' }
    const asked = await ask('/v1/egress', { commit: 'results@master', egress })
    assert.equal(asked.status, 201, asked.text)
    const { id } = (JSON.parse(asked.text) as { egress: { id: string } }).egress
    const remove = () => send(stack.url, { method: 'DELETE', path: '/v1/secrets/busy' })
    const refused = await remove()
    assert.equal(codeOf(refused), 'InUse')
    assert.match(messageOf(refused), new RegExp(`used by egress ${id.slice(0, 8)}: .*sluice secret update busy`))
    assert.equal((await send(stack.url, { method: 'POST', path: `/v1/egress/${id}/cancel` })).status, 200)
    assert.equal((await remove()).status, 204)
  })

  it('are refused with all that is wrong at once, which holds nothing of the secret part', async () => {
    for (const [body, count] of [
      [{ name: 'Bad', accessKeyId: 'a b', secretAccessKey: 'canary\n' }, 3],
      [{ name: 'x', kind: 'azure', account: 'A', accountKey: 'canary' }, 2],
      [{ name: 'x', kind: 'gcs', serviceAccount: 'canary' }, 1],
      [{ name: 'x', accessKeyId: 'AK', secretAccessKey: 'x', sas: 'canary' }, 1],
    ] as const) {
      const reply = await create(body)
      assert.equal(codeOf(reply), 'InvalidInput')
      assert.ok(!reply.text.includes('canary'), reply.text)
      const { error } = JSON.parse(reply.text) as { error: { data: { problems: string[] } } }
      assert.equal(error.data.problems.length, count, reply.text)
    }
    assert.match(messageOf(await create({ name: 'x', kind: 'ftp' })), /kind must be one of s3, gcs, azure/)
  })
})
