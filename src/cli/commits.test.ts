import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { TransactionJson } from '../api/contract.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

describe('sluice transaction', () => {
  it('opens a bucket of its own, lists it, and makes one commit of it or none', async () => {
    await cli.ok('repo', 'create', 'txs')
    const bucket = (await cli.ok('transaction', 'start', 'txs@master', 'job', '-m', 'begun')).trim()
    assert.equal(bucket, 'tx-job.master.txs')
    const [open] = await cli.json<TransactionJson[]>('transaction', 'list', 'txs@master')
    assert.deepEqual([open?.name, open?.changes, open?.message], ['job', 0, 'begun'])
    assert.match(await cli.ok('commit', 'list', 'txs'), /open, held by the transaction tx-job\.master\.txs/)
    assert.match(await cli.ok('commit', 'inspect', `txs@${open?.commit}`), /^Held by: +the transaction tx-job/m)
    assert.equal((await cli.ok('transaction', 'finish', 'txs@master', 'tx-job', '-m', 'done')).trim(), open?.commit)
    await cli.ok('transaction', 'start', 'txs@master', 'other')
    await cli.ok('transaction', 'abort', 'txs@master', 'other')
    assert.deepEqual(await cli.json('transaction', 'list', 'txs@master'), [])
    const gone = await cli.run(['transaction', 'finish', 'txs@master', 'other'])
    assert.equal(gone.code, 1)
    assert.match(gone.err, /there is no transaction tx-other\.master\.txs/)
  })
})

describe('sluice commit start', () => {
  it('holds a commit open, of which neither the parent nor what follows is said before it is known', async () => {
    await cli.ok('repo', 'create', 'held')
    const id = (await cli.ok('commit', 'start', 'held@master')).trim()
    assert.match(await cli.ok('commit', 'inspect', `held@${id}`), /^Parent: +-$/m)
    assert.match(await cli.ok('commit', 'list', 'held'), new RegExp(`${id} +- .*open, held by commit start`))
    const flushed = await cli.run(['flush', 'held@master', '--timeout', '100ms'])
    assert.equal(flushed.code, 1)
    assert.match(flushed.err, /timed-out: it was still open/)
    assert.doesNotMatch(flushed.err, /nothing is computed/)
    await cli.ok('commit', 'finish', 'held@master')
    assert.match(await cli.ok('commit', 'inspect', `held@${id}`), /^Parent: +<none>$/m)
    assert.match((await cli.run(['flush', 'held@master'])).err, /nothing is computed from held@/)
  })
})

describe('sluice branch batch', () => {
  it('shows when writes become a commit, sets what is named, and goes back', async () => {
    await cli.ok('repo', 'create', 'batches')
    await cli.ok('branch', 'batch', 'batches@master', '--idle', '1m30s', '--max-changes', '9')
    const after = await cli.ok('branch', 'batch', 'batches@master', '--max-age', '2h')
    assert.match(after, /idle: +1m30s \(set\)\n.*old: +2h \(set\)\n.*large: +9 changes \(set\)/)
    assert.match(await cli.ok('branch', 'inspect', 'batches@master'), /Commit when idle: +1m30s \(set\)/)
    const [first] =
      (await cli.ok('branch', 'batch', 'batches@master', '--default', '--idle', '250ms')).match(/\(set\)/g) ?? []
    assert.equal(first, '(set)')
    assert.doesNotMatch(await cli.ok('branch', 'batch', 'batches@master', '--default'), /\(set\)/)
    const wrong = await cli.run(['branch', 'batch', 'batches@master', '--idle', 'soon'])
    assert.equal(wrong.code, 2)
  })
})
