import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { branchOf, putText, sealCommit } from '../versioning/testing/store.ts'
import type { UserCreatedJson } from './contract.ts'
import { faultsOf } from './testing/conforms.ts'
import { type Ask, codeOf, type Reply, read, sendJson } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

const images = branchOf('images@master')

describe('backups and retention over the API', () => {
  let stack: Stack
  let folder: string
  let writer: NonNullable<Ask['key']>
  const ask = (method: string, path: string, body?: unknown, key?: Ask['key']): Promise<Reply> =>
    sendJson(stack.url, { method, path, ...(key && { key }) }, body)
  const linesOf = async (reply: Promise<Reply>) => {
    const { status, text } = await reply
    assert.equal(status, 200, text)
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { kind: string })
  }

  before(async () => {
    stack = await openStack()
    folder = await mkdtemp(join(tmpdir(), 'sluice-api-backups-'))
    await stack.versioning.createBranch(images)
    for (const text of ['one', 'two']) {
      await putText(stack.versioning, images, 'a.txt', text.repeat(1000))
      await sealCommit(stack.versioning, images)
    }
    writer = (await read<UserCreatedJson>(ask('POST', '/v1/users', { name: 'anna' }))).key
    const { canonicalId } = await stack.options.users.inspect('anna')
    await stack.versioning.roles.set(images.repo, canonicalId, 'writer')
  })
  after(async () => {
    await stack.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('answer as the document says', async () => {
    const to = join(folder, 'place')
    const events = await linesOf(ask('POST', '/v1/backups', { to }))
    assert.deepEqual(
      events.flatMap((event) => faultsOf('BackupEvent', event)),
      [],
    )
    assert.equal(events.at(-1)?.kind, 'done')
    const backups = JSON.parse((await ask('GET', `/v1/backups?to=${encodeURIComponent(to)}`)).text) as unknown[]
    assert.equal(backups.length, 1)
    assert.deepEqual(faultsOf('Backup', backups[0]), [])
    const checked = await linesOf(ask('POST', '/v1/backups/verify', { to, all: true }))
    assert.deepEqual(
      checked.flatMap((event) => faultsOf('BackupVerify', event)),
      [],
    )
    await linesOf(ask('POST', '/v1/backups', { to }))
    const removed = await ask('POST', '/v1/backups/remove', { to, keep: 1 })
    assert.deepEqual(faultsOf('BackupsRemoved', JSON.parse(removed.text)), [])
    const rules = await ask('PUT', '/v1/repos/images/retention', { keepCommits: 1 })
    assert.deepEqual(faultsOf('Retention', JSON.parse(rules.text)), [])
    const expired = await linesOf(ask('GET', '/v1/repos/images/retention/preview'))
    assert.deepEqual([expired.length, ...faultsOf('Expired', expired[0])], [1])
    assert.equal((await ask('DELETE', '/v1/repos/images/retention')).status, 204)
  })

  it('are for administrators and owners, and say what is wrong with what they are given', async () => {
    const to = join(folder, 'place')
    for (const [method, path, body] of [
      ['GET', `/v1/backups?to=${encodeURIComponent(to)}`],
      ['POST', '/v1/backups', { to }],
      ['POST', '/v1/backups/verify', { to }],
      ['POST', '/v1/backups/remove', { to, keep: 1 }],
      ['PUT', '/v1/repos/images/retention', { keepDays: 1 }],
      ['DELETE', '/v1/repos/images/retention'],
    ] as const) {
      assert.equal(codeOf(await ask(method, path, body, writer)), 'AccessDenied', `${method} ${path}`)
    }
    assert.equal((await ask('GET', '/v1/repos/images/retention', undefined, writer)).status, 200)
    for (const [body, code] of [
      [{ to: 'relative/folder' }, 'InvalidInput'],
      [{ to: stack.folder }, 'InvalidInput'],
      [{ to: join(folder, 'x'), secret: 'some' }, 'InvalidInput'],
      [{ to: 's3://bucket/folder' }, 'InvalidInput'],
      [{ to: 's3://bucket/folder', secret: 'nobody' }, 'SecretNotFound'],
      [{}, 'InvalidInput'],
    ] as const) {
      assert.equal(codeOf(await ask('POST', '/v1/backups', body)), code, JSON.stringify(body))
    }
    assert.equal(codeOf(await ask('POST', '/v1/backups/remove', { to })), 'InvalidInput')
    assert.equal(codeOf(await ask('POST', '/v1/backups/verify', { to, backup: '77' })), 'BackupNotFound')
    assert.equal(codeOf(await ask('PUT', '/v1/repos/images/retention', {})), 'InvalidInput')
  })
})
