import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { BranchJson, CommitJson, FlushJson, TransactionJson } from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { type Ask, codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const { ask, newBranch, put } = testApi(() => stack)
const putJson = (body: unknown): Partial<Ask> => ({ method: 'PUT', body: JSON.stringify(body) })

describe('transactions over the API', () => {
  const path = (rest = '') => `/v1/repos/tx/branches/master/transactions${rest}`

  it('are opened, listed, finished and aborted', async () => {
    await newBranch('tx')
    await put('tx', 'a', 'one')
    const opened = await ask<TransactionJson>('Transaction', path(), post({ name: 'job', message: 'begun' }))
    assert.equal(opened.bucket, 'tx-job.master.tx')
    const same = await send(stack.url, { path: path(), ...post({ name: 'job' }) })
    assert.equal(same.status, 200)
    assert.equal((JSON.parse(same.text) as TransactionJson).commit, opened.commit)
    const unnamed = await ask<TransactionJson>('Transaction', path(), post({}))
    assert.match(unnamed.name, /^[0-9a-f]{12}$/)
    assert.deepEqual(
      (await ask<TransactionJson[]>('Transaction', path())).map(({ name }) => name),
      ['job', unnamed.name],
    )
    assert.equal((await send(stack.url, { method: 'DELETE', path: path(`/${unnamed.name}`) })).status, 204)
    const held = await ask<CommitJson>('Commit', `/v1/repos/tx/commits/${opened.commit}`)
    assert.equal(held.heldBy, 'the transaction tx-job.master.tx')
    const commit = await ask<CommitJson>('Commit', path('/job/finish'), post({ message: 'done' }))
    assert.deepEqual([commit.id, commit.state, commit.message], [opened.commit, 'finished', 'done'])
    assert.deepEqual(await ask<TransactionJson[]>('Transaction', path()), [])
    assert.equal(codeOf(await send(stack.url, { method: 'DELETE', path: path('/job') })), 'TransactionNotFound')
  })

  it('are refused by name where they can’t be', async () => {
    for (const name of ['', 'A', 'a.b', '-a', 'tx_1']) {
      const reply = await send(stack.url, { path: path(), ...post({ name }) })
      assert.equal(reply.status, 400, name)
    }
    const none = { path: '/v1/repos/tx/branches/none/transactions' }
    assert.equal(codeOf(await send(stack.url, { ...none, ...post({}) })), 'BranchNotFound')
    assert.equal(codeOf(await send(stack.url, none)), 'BranchNotFound')
    assert.equal(codeOf(await send(stack.url, { path: path('/none/finish'), ...post({}) })), 'TransactionNotFound')
  })
})

describe('the batch of a branch over the API', () => {
  it('has rules of its own, within bounds', async () => {
    const server = (await newBranch('rules')).batch
    assert.deepEqual(server.own, [])
    const path = '/v1/repos/rules/branches/master/batch'
    const set = await ask<BranchJson>('Branch', path, putJson({ idleMs: 5000, maxChanges: 7 }))
    assert.deepEqual(set.batch, { ...server, idleMs: 5000, maxChanges: 7, own: ['idleMs', 'maxChanges'] })
    assert.deepEqual((await ask<BranchJson>('Branch', '/v1/repos/rules/branches/master')).batch, set.batch)
    const wrong = await send(stack.url, { path, ...putJson({ idleMs: 0 }) })
    assert.equal(wrong.status, 400)
    assert.match(messageOf(wrong), /idleMs must be a whole number from 1 to 3600000/)
    assert.deepEqual((await ask<BranchJson>('Branch', path, putJson({}))).batch, server)
  })

  it('is held by a job, which a flush says, until it is forced', async () => {
    await newBranch('held')
    const scratch = await put('held', 't/_temporary/0/part', 'x')
    assert.deepEqual([scratch.commit, scratch.version], [null, null])
    const { commit } = await put('held', 't/part', 'x')
    const [open] = await ask<CommitJson[]>('Commit', '/v1/repos/held/commits')
    assert.deepEqual([open?.id, open?.state, open?.heldBy], [commit, 'open', 'a job that writes to t/_temporary/'])
    const flush = async (more: object) => {
      const reply = await send(stack.url, { path: '/v1/flush', ...post({ commits: ['held@master'], ...more }) })
      assert.equal(reply.status, 200, reply.text)
      return JSON.parse(reply.text.trim().split('\n').at(-1)!) as Extract<FlushJson, { kind: 'verdict' }>
    }
    assert.equal((await flush({ timeoutMs: 1 })).ok, false)
    assert.equal((await flush({ force: true })).ok, true)
    assert.equal((await ask<CommitJson>('Commit', `/v1/repos/held/commits/${commit}`)).state, 'finished')
  })
})
