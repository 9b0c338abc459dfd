import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { CredentialsJson, KeyJson, UserCreatedJson, UserJson } from '../api/contract.ts'
import { type Environment, openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

/** By the root key, or in the environment that `exports` says. */
const run = (words: string, env: Environment = {}) => cli.run(words.split(' '), { env })

async function ok(words: string, env?: Environment): Promise<string> {
  const { code, out, err } = await run(words, env)
  assert.equal(code, 0, err)
  return out
}

/** What a shell would have in its environment after `eval`. */
const exportsOf = (out: string) =>
  Object.fromEntries([...out.matchAll(/^export (\w+)='?([^'\n]*)'?$/gm)].map(([, name, value]) => [name!, value!]))

describe('sluice user', () => {
  it('creates users whose printed key works at once, and shows no secret again', async () => {
    const printed = await ok('user create ada --email ada@example.com')
    const ada = exportsOf(printed)
    assert.deepEqual(Object.keys(ada), ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'])
    assert.match(await ok('user inspect', ada), /Name: +ada\nE-mail: +ada@example.com\nCanonical id: +[0-9a-f]{64}/)
    const shown = (await ok('user list')) + (await ok('user inspect ada --json')) + (await ok('user list --json'))
    assert.ok(shown.includes(ada['AWS_ACCESS_KEY_ID']!))
    assert.ok(!shown.includes(ada['AWS_SECRET_ACCESS_KEY']!))
  })

  it('grants and takes away what a user may do', async () => {
    const { key } = JSON.parse(await ok('user create bob --json --no-create-repos')) as UserCreatedJson
    const bob = { AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey }
    await ok('repo create shared')
    assert.match((await run('repo create bobs', bob)).err, /may not create repos/)
    assert.match((await run('repo inspect shared', bob)).err, /needs the right to read on repo shared/)
    await ok('user grant bob shared reader')
    assert.match(await ok('repo inspect shared', bob), /Name: +shared/)
    assert.match((await run('branch create shared@dev', bob)).err, /needs the right to write/)
    assert.match(await ok('user roles shared'), /bob +reader/)
    assert.match(await ok('user inspect bob'), /Roles: +reader of shared/)
    assert.match((await run('user grant bob shared boss')).err, /role must be one of reader, writer, owner/)
    await ok('user revoke bob shared')
    assert.equal((await run('repo inspect shared', bob)).code, 1)
    await ok('user delete bob')
    assert.match((await run('repo inspect shared', bob)).err, /does not exist in our records/)
  })

  it('turns keys, its own without naming itself', async () => {
    const carl = exportsOf(await ok('user create carl'))
    const next = exportsOf(await ok('user rotate', carl))
    assert.match((await run('user inspect', carl)).err, /does not exist/)
    assert.match(await ok('user inspect', next), /Name: +carl/)
    const { accessKeyId, secretAccessKey } = JSON.parse(await ok('user rotate carl --grace 1h --json')) as KeyJson
    assert.equal((await run('user inspect', next)).code, 0)
    const last = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
    const { keys } = JSON.parse(await ok('user inspect --json', last)) as UserJson
    assert.equal(keys.filter(({ expires }) => expires !== undefined).length, 1)
    assert.match((await run('user rotate carl --grace forever')).err, /--grace forever/)
    assert.match((await run('user rotate carl --grace 8d')).err, /--grace 8d: at most 7d/)
  })

  it('makes temporary credentials that are bound as is asked', async () => {
    const dora = exportsOf(await ok('user create dora'))
    await ok('repo create doras', dora)
    const lent = exportsOf(await ok('user credentials --repo doras:writer --prefix in/ --for 15m', dora))
    assert.ok(lent['AWS_SESSION_TOKEN'])
    await ok('repo list', lent)
    assert.match((await run('file list doras@master', lent)).err, /temporary key .* has no right/)
    assert.match((await run('user credentials', lent)).err, /can not make others/)
    const json = JSON.parse(await ok('user credentials --repo doras --transaction load --branch master --json', dora))
    assert.deepEqual(Object.keys(json as CredentialsJson), [
      'accessKeyId',
      'secretAccessKey',
      'sessionToken',
      'expires',
    ])
    const asked = JSON.parse(await ok('user credentials --process', dora)) as { Version: number; Expiration: string }
    assert.deepEqual(Object.keys(asked), ['Version', 'AccessKeyId', 'SecretAccessKey', 'SessionToken', 'Expiration'])
    assert.deepEqual([asked.Version, new Date(asked.Expiration).toISOString()], [1, asked.Expiration])
    for (const words of [
      'user credentials --prefix in/',
      'user credentials --repo doras:owner',
      'user credentials --repo doras:reader:writer',
      'user credentials --for soon',
    ]) {
      assert.equal((await run(words, dora)).code, 2, words)
    }
    assert.match((await run('user credentials --for 13h', dora)).err, /--for 13h: at most 12h/)
    assert.match((await run('user credentials --repo shared', dora)).err, /not reader of repo shared itself/)
  })

  it('has the token of the shell forgotten where another key is printed', async () => {
    const dora = exportsOf(await ok('user rotate dora'))
    const lent = exportsOf(await ok('user credentials', dora))
    assert.match(await ok('env', lent), /^unset AWS_SESSION_TOKEN$/m)
    assert.doesNotMatch(await ok('env'), /unset/)
  })
})
