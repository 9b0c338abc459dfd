import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const marker = () => randomBytes(24).toString('hex')

/** The files of the data folder that have these bytes anywhere. */
async function filesWith(store: TestStore, bytes: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(store.folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    if ((await readFile(path)).includes(bytes)) found.push(path.slice(store.folder.length + 1))
  }
  return found
}

describe('the files of a store after a purge', () => {
  it('have the bytes and the names of what was purged nowhere, also where it was deleted before', async () => {
    const store = await openTestStore()
    try {
      const { versioning } = store
      await versioning.createBranch(images)
      const small = marker()
      const older = marker()
      const deleted = marker()
      const staged = marker()
      const large = marker()
      const name = marker()
      await putText(versioning, images, `dir/${name}-older`, older)
      // Enough neighbours that pages of the databases are split, and what stood in them is moved.
      for (let i = 0; i < 300; i++) {
        await putText(versioning, images, `dir/${name}-${i}`, `${small} ${i}`)
        await putText(versioning, images, `kept-${i}`, `kept ${i}`)
        if (i % 60 === 0) await sealCommit(versioning, images)
      }
      await putText(versioning, images, `dir/${name}-large`, large.repeat(1_000))
      await sealCommit(versioning, images)
      await putText(versioning, images, `dir/${name}-older`, deleted)
      await versioning.delete(images, `dir/${name}-large` as never)
      await sealCommit(versioning, images)
      for await (const _ of versioning.maintenance.gc({ graceMs: 0 })) {
        // What is removed before is to leave nothing behind either.
      }
      await putText(versioning, images, `dir/${name}-staged`, staged)
      assert.ok((await filesWith(store, small)).length > 0)
      const input = { repo: images.repo, path: 'dir/', prefix: true, reason: 'a test', by: 'admin' }
      for await (const _ of versioning.maintenance.purges.run(input)) {
        // To its end.
      }
      for (const bytes of [small, older, deleted, staged, large, name]) {
        assert.deepEqual(await filesWith(store, bytes), [])
      }
      for (let i = 0; i < 300; i += 50) assert.equal(await getText(versioning, images, `kept-${i}`), `kept ${i}`)
      await assertSound(store, { deep: true })
      await store.reopen()
      assert.equal(await getText(store.versioning, images, 'kept-7'), 'kept 7')
      await assertSound(store, { deep: true })
    } finally {
      await store.close()
    }
  })
})
