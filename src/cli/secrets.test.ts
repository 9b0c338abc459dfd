import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { SecretJson } from '../api/contract.ts'
import { openCli, type TestCli } from './testing/cli.ts'

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const accountKey = Buffer.alloc(64, 9).toString('base64')
const sas = 'sv=2024-11-04&sr=c&sp=rwdl&se=2020-01-02T03:04:05Z&sig=canary'
const keyFile = JSON.stringify({
  type: 'service_account',
  client_email: 'pusher@project.iam.gserviceaccount.com',
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
})

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

const run = (words: string, input?: string) => cli.run(words.split(' '), input === undefined ? {} : { input })
const inspect = (name: string) => cli.json<SecretJson>('secret', 'inspect', name)

describe('sluice secret', () => {
  it('takes every secret part from a pipe, so that none needs to be on the command line', async () => {
    for (const [words, input] of [
      ['secret create s3 --access-key AK --region eu-central-1', 'a-secret-key\n'],
      ['secret create google --service-account -', keyFile],
      ['secret create azure --account acc', `${accountKey}\n`],
      ['secret create signature --account acc --sas -', `${sas}\n`],
      ['secret create connected --connection-string -', `AccountName=acc;AccountKey=${accountKey}\n`],
    ] as const) {
      const { code, err } = await run(words, input)
      assert.equal(code, 0, `${words}: ${err}`)
    }
    const signature = await inspect('signature')
    assert.ok(signature.kind === 'azure' && signature.signsWith === 'shared access signature')
  })

  it('takes them as options and files too', async () => {
    const file = await cli.local('key.json', keyFile)
    for (const words of [
      ['secret', 'create', 's3-2', '--access-key', 'AK', '--secret-key', 'SK', '--endpoint', 'https://minio.corp'],
      ['secret', 'create', 'google-2', '--service-account', file],
      ['secret', 'create', 'azure-2', '--account', 'acc', '--account-key', accountKey],
      ['secret', 'create', 'signature-2', '--account', 'acc', '--sas', sas],
      ['secret', 'create', 'emulator', '--connection-string', 'UseDevelopmentStorage=true'],
    ]) {
      assert.equal(await cli.ok(...words), `secret ${words[2]} created\n`)
    }
    assert.equal((await inspect('emulator')).endpoint, 'http://127.0.0.1:10000/devstoreaccount1')
  })

  it('shows who they sign as and never what signs, and warns of what has expired', async () => {
    const { out, err } = await run('secret list')
    assert.match(out, /^NAME +KIND +IDENTITY +ENDPOINT +REGION +EXPIRES +CREATED/)
    assert.match(out, /s3 +s3 +AK +<none> +eu-central-1/)
    assert.match(out, /google +gcs +pusher@project\.iam\.gserviceaccount\.com/)
    assert.match(out, /azure +azure +acc \(account key\)/)
    assert.match(out, /signature +azure +acc \(shared access signature\) +.*2020-01-02T03:04:05/)
    assert.match(err, /note: the shared access signature of secret signature expired on 2020-01-02/)
    const shown =
      out + err + (await cli.ok('secret', 'list', '--json')) + (await cli.ok('secret', 'inspect', 'signature'))
    for (const secret of ['canary', accountKey, 'a-secret-key', 'PRIVATE']) assert.ok(!shown.includes(secret))
    assert.match(await cli.ok('secret', 'inspect', 'google'), /Kind: +gcs.*\nService account: +pusher@/)
    assert.match(await cli.ok('secret', 'inspect', 's3-2'), /Endpoint: +https:\/\/minio\.corp\n/)
  })

  it('rotates a secret, asking for what it signs with', async () => {
    assert.equal((await run('secret update s3', 'another\n')).out, 'secret s3 updated\n')
    assert.equal((await run('secret update s3 --access-key NEW', 'third\n')).code, 0)
    const s3 = await inspect('s3')
    assert.ok(s3.kind === 's3' && s3.accessKeyId === 'NEW' && s3.region === 'eu-central-1')
    const { code, err } = await run('secret update signature', `${sas.replace('2020', '2999')}\n`)
    assert.equal(code, 0, err)
    assert.equal(err, '')
    assert.equal((await run('secret update azure --sas -', `${sas}\n`)).code, 0)
    assert.ok((await inspect('azure')).warning)
    assert.match((await run('secret update google')).err, /--service-account FILE is missing/)
    assert.match((await run('secret update s3 --account acc', `${accountKey}\n`)).err, /can't be moved/)
  })

  it('says what is missing, and what does not go together', async () => {
    for (const [words, message] of [
      ['secret create x', /say what it holds: --access-key \(S3\), --service-account \(Google\)/],
      ['secret create x --access-key AK --account acc', /--access-key and --account are of different services/],
      ['secret create x --access-key AK', /the secret access key is empty/],
      ['secret create x --account acc', /the account key is empty/],
      ['secret create x --service-account nowhere.json', /nowhere\.json can't be read: .*ENOENT/],
    ] as const) {
      const { code, err } = await run(words, '')
      assert.notEqual(code, 0)
      assert.match(err, message)
    }
    const { err } = await run('secret create x --service-account -', 'x'.repeat(100_000))
    assert.match(err, /far too long for a key file/)
  })
})
