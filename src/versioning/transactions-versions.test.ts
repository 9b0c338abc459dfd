import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parsePath } from './index.ts'
import { branchOf, getText, openTestStore, putText } from './testing/store.ts'

const at = branchOf('images')
const tx = { ...at, branch: 'tx-a.master' as typeof at.branch }
const path = parsePath('k')

describe('versions that are deleted by their ids on both sides of a transaction', () => {
  const opened = async (t: { after(done: () => Promise<void>): void }) => {
    const store = await openTestStore()
    t.after(() => store.close())
    const { versioning } = store
    await versioning.createRepo(at.repo)
    const { version: one } = await putText(versioning, at, path, 'one')
    const { version: two } = await putText(versioning, at, path, 'two')
    await versioning.transactions.open(tx)
    return { versioning, one, two }
  }

  const isRefused = { code: 'TransactionConflict', data: { paths: ['k'], total: 1 } }

  it('do not come back where the branch shows again what the transaction deleted', async (t) => {
    const { versioning, one, two } = await opened(t)
    await versioning.versions.delete(tx, [{ path, version: one }])
    await versioning.versions.delete(at, [{ path, version: two }])
    await assert.rejects(versioning.transactions.finish(tx), isRefused)
  })

  it('do not come back where the transaction shows again what the branch deleted', async (t) => {
    const { versioning, one, two } = await opened(t)
    await versioning.versions.delete(at, [{ path, version: one }])
    await versioning.versions.delete(tx, [{ path, version: two }])
    await assert.rejects(versioning.transactions.finish(tx), isRefused)
  })

  it('are no conflict where nothing shows them', async (t) => {
    const { versioning, one, two } = await opened(t)
    await versioning.versions.delete(tx, [{ path, version: one }])
    await putText(versioning, at, path, 'three')
    await versioning.versions.delete(at, [{ path, version: two }])
    await versioning.transactions.finish(tx)
    assert.equal(await getText(versioning, at, path), 'three')
    assert.equal((await versioning.versions.list(at, { limit: 10 })).versions.length, 1)
  })
})
