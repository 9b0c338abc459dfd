import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { GcResultJson, PurgeJson, WhyJson } from '../api/contract.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

const text = () => randomBytes(3_000).toString('hex')

async function putFile(at: string, body: string): Promise<void> {
  const { code, err } = await cli.run(['file', 'put', at], { input: body })
  assert.equal(code, 0, err)
}

describe('sluice gc', () => {
  it('says what would go, removes it, and says what it came to', async () => {
    await cli.ok('repo', 'create', 'gone')
    await putFile('gone@master:a', text())
    await cli.ok('flush', 'gone@master')
    await cli.ok('repo', 'delete', 'gone', '--force')
    assert.match(await cli.ok('gc', '--dry-run'), /^would go: 0 commit\(s\), 1 node\(s\) .*, 1 chunk\(s\)/)
    const out = await cli.ok('gc', '--grace', '0')
    assert.match(out, /removed: 1 chunk\(s\)/)
    const again = await cli.json<GcResultJson & { dryRun: boolean }>('gc', '--grace', '0')
    assert.deepEqual([again.chunks, again.nodes, again.waitingBytes, again.dryRun], [0, 0, 0, false])
    const refused = await cli.run(['gc', '--grace', 'soon'])
    assert.match(refused.err, /a whole number of seconds/)
    assert.equal(refused.code, 2)
  })
})

describe('sluice why', () => {
  it('names who refers to something, or that nobody has it', async () => {
    const body = text()
    await cli.ok('repo', 'create', 'why')
    await putFile('why@master:dir/a', body)
    await cli.ok('flush', 'why@master')
    assert.match(await cli.ok('why', hash('sha256', body)), /^chunk.*\nbranch +why@master:dir\/a\ncommit +why@/)
    assert.equal((await cli.json<WhyJson>('why', hash('sha256', body))).total, 3)
    assert.match(await cli.ok('why', '9'.repeat(64)), /in no pack and in no tree/)
    assert.notEqual((await cli.run(['why', 'abc'])).code, 0)
  })
})

describe('sluice purge', () => {
  it('asks for a reason and for --yes, removes the file everywhere, and lists what was purged', async () => {
    await cli.ok('repo', 'create', 'secrets')
    await putFile('secrets@master:dir/a', text())
    await putFile('secrets@master:b', 'b')
    await cli.ok('flush', 'secrets@master')
    assert.match((await cli.run(['purge', 'secrets:dir/a'])).err, /--reason/)
    const unsure = await cli.run(['purge', 'secrets:dir/', '--prefix', '--reason', 'leaked'])
    assert.match(unsure.err, /secrets:dir\/… would be removed from every commit of secrets, for good/)
    assert.match((await cli.run(['purge', 'secrets@master:dir/a', '--reason', 'x', '--yes'])).err, /all of history/)
    const out = await cli.ok('purge', 'secrets:dir/', '--prefix', '--reason', 'leaked', '--yes')
    assert.match(out, /^purged: 1 version\(s\), from 1 commit\(s\)/)
    assert.equal((await cli.run(['file', 'get', 'secrets@master:dir/a'])).code, 1)
    assert.equal(await cli.ok('file', 'get', 'secrets@master:b'), 'b')
    const [record] = await cli.json<PurgeJson[]>('purge')
    assert.deepEqual([record!.path, record!.prefix, record!.reason], ['dir/', true, 'leaked'])
    assert.match(await cli.ok('purge'), /secrets:dir\/….*done.*leaked/)
    const nothing = await cli.run(['purge', 'secrets:mistyped/', '--reason', 'leaked', '--yes'])
    assert.equal(nothing.code, 0)
    assert.match(nothing.err, /nothing of secrets has that name \(everything below a folder takes --prefix\)/)
  })
})
