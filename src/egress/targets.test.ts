import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Credentials, SecretInfo, Target } from '../cloud/index.ts'
import { systemClock } from '../kernel/index.ts'
import { targetOpener } from './targets.ts'

const now = 1_800_000_000_000
const info: SecretInfo = {
  name: 'azure',
  kind: 'azure',
  account: 'acc',
  signsWith: 'shared access signature',
  createdMs: 0,
  updatedMs: 0,
}
const credentials: Credentials = { kind: 'azure', account: 'acc', signWith: { sas: 'sig=x' } }

/** What was opened, by an opener that opens nothing. */
function opener(options: { expiresMs?: number; defaultCredentials?: boolean } = {}) {
  const opened: { target: Target; credentials: Credentials | undefined }[] = []
  const { expiresMs, defaultCredentials = false } = options
  const open = targetOpener({
    secrets: {
      open: async () => ({ info: { ...info, ...(expiresMs === undefined ? {} : { expiresMs }) }, credentials }),
    },
    defaultCredentials,
    clock: { ...systemClock, now: () => now },
    openStore: (target, given) => {
      opened.push({ target, credentials: given })
      throw new Error('opened')
    },
  })
  return { open, opened }
}

describe('opening the target of a push', () => {
  it('takes account, endpoint and credentials from its secret', async () => {
    const { open, opened } = opener({ expiresMs: now + 1 })
    await assert.rejects(open('azblob://container/dir', 'azure'), /opened/)
    assert.equal(opened[0]!.target.url, 'wasbs://container@acc.blob.core.windows.net/dir')
    assert.deepEqual(opened[0]!.credentials, credentials)
  })

  it('says that a signature has expired, and what to do, before the target says that it is wrong', async () => {
    const { open, opened } = opener({ expiresMs: now })
    await assert.rejects(open('azblob://container/dir', 'azure'), {
      name: 'InvalidInput',
      message: /secret azure expired on 2027-01-15T08:00:00Z: .* sluice secret update azure --sas -/,
    })
    assert.deepEqual(opened, [])
  })

  it('never uses a secret for another endpoint than its own', async () => {
    const { open, opened } = opener()
    await assert.rejects(open('wasb://container@other', 'azure'), /its secret is for acc only/)
    await assert.rejects(
      open('wasb://container@acc.blob.core.chinacloudapi.cn', 'azure'),
      /but its secret is for https/,
    )
    assert.deepEqual(opened, [])
  })

  it('refuses a secret that was made again for another service', async () => {
    await assert.rejects(opener().open('s3://bucket', 'azure'), /but secret azure is for Azure Blob Storage/)
  })

  it("uses the host's own identity only where that is switched on, and where there is one", async () => {
    await assert.rejects(opener().open('gs://bucket', undefined), /SLUICE_EGRESS_DEFAULT_CREDENTIALS=on/)
    const { open, opened } = opener({ defaultCredentials: true })
    await assert.rejects(open('gs://bucket', undefined), /opened/)
    assert.equal(opened[0]!.credentials, undefined)
    await assert.rejects(open('wasb://con@acc', undefined), /the identity of the host does not reach Azure/)
  })
})
