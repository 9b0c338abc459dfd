import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { repository } from '../server.ts'
import { type Bench, openBench } from '../support.ts'
import { awsOn, findAws } from './aws.ts'

/** What a shell would have in its environment after `eval`. */
const exportsOf = (out: string) =>
  Object.fromEntries([...out.matchAll(/^export (\w+)='?([^'\n]*)'?$/gm)].map(([, name, value]) => [name!, value!]))

const [first, second] = await findAws()
const client = first?.missing ? second : first

/** Users and their credentials, as the CLI takes them from its environment. */
describe(`${client?.title}: users`, { skip: client?.missing }, () => {
  let bench: Bench
  let cli: ReturnType<typeof awsOn>
  let ada: Record<string, string>
  const sluice = (words: string, extra: Record<string, string> = {}) =>
    bench.ok(process.execPath, [join(repository, 'bin/sluice.js'), ...words.split(' ')], {
      environment: { ...bench.server.clientEnvironment, ...extra },
    })
  before(async () => {
    bench = await openBench()
    cli = awsOn(bench, client!)
    ada = exportsOf(await sluice('user create ada'))
    await writeFile(join(bench.folder, 'a.txt'), 'from ada')
  })
  after(() => bench?.close())

  it('have buckets of their own, and no way into those of others without a role', async () => {
    const bob = exportsOf(await sluice('user create bob'))
    await cli.awsWith(ada, 's3 mb s3://master.adas')
    await cli.awsWith(ada, 's3 cp a.txt s3://master.adas/a.txt')
    assert.doesNotMatch(await cli.awsWith(bob, 's3 ls'), /adas/)
    assert.match(await cli.refusedWith(bob, 's3 ls s3://master.adas'), /AccessDenied/)
    assert.match(await cli.refusedWith(bob, 's3 mb s3://master.adas'), /BucketAlreadyExists/)
    await sluice('user grant bob adas reader', ada)
    assert.match(await cli.awsWith(bob, 's3 ls s3://master.adas'), /a\.txt/)
    assert.match(await cli.refusedWith(bob, 's3 rm s3://master.adas/a.txt'), /AccessDenied/)
    await sluice('user revoke bob adas', ada)
    assert.match(await cli.refusedWith(bob, 's3 ls s3://master.adas'), /AccessDenied/)
  })

  it('hand out credentials that reach one folder, by presigned URL too, until the key is turned', async () => {
    const lent = exportsOf(await sluice('user credentials --repo adas:writer --prefix in/', ada))
    assert.ok(lent['AWS_SESSION_TOKEN'])
    await cli.awsWith(lent, 's3 cp a.txt s3://master.adas/in/a.txt')
    await cli.awsWith(lent, 's3 sync s3://master.adas/in/ copied')
    assert.equal(await readFile(join(bench.folder, 'copied', 'a.txt'), 'utf8'), 'from ada')
    assert.match(await cli.refusedWith(lent, 's3 cp s3://master.adas/a.txt -'), /Forbidden|AccessDenied/)
    assert.match(await cli.refusedWith(lent, 's3 ls s3://master.adas'), /AccessDenied/)
    assert.match(await cli.refusedWith(lent, 's3 cp a.txt s3://master.adas/b.txt'), /AccessDenied/)
    const config = join(bench.folder, 'v4')
    const command = [process.execPath, join(repository, 'bin/sluice.js'), 'user credentials --repo adas --process']
    const lines = ['[default]', 's3 =', '  signature_version = s3v4']
    const asks = ['[profile asks]', `credential_process = ${command.join(' ')}`]
    await writeFile(config, `${[...lines, ...asks].join('\n')}\n`)
    const url = (await cli.awsWith({ ...lent, AWS_CONFIG_FILE: config }, 's3 presign s3://master.adas/in/a.txt')).trim()
    assert.match(url, /X-Amz-Security-Token=/)
    const get = async () => (await fetch(url)).text()
    assert.equal(await get(), 'from ada')
    const asking = { ...ada, AWS_CONFIG_FILE: config }
    assert.match(await cli.awsWith(asking, 's3 ls s3://master.adas --profile asks'), /a\.txt/)
    assert.match(await cli.refusedWith(asking, 's3 rm s3://master.adas/a.txt --profile asks'), /AccessDenied/)
    await sluice('user rotate ada')
    assert.match(await get(), /InvalidToken/)
  })
})
