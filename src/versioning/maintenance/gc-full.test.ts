import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { StorageFull } from '../../kernel/index.ts'
import { nodeFiles } from '../content/files.ts'
import type { GcResult } from '../maintenance.ts'
import { parsePath } from '../model/index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const other = branchOf('other@master')
const text = () => randomBytes(20_000).toString('hex')

async function collect(store: TestStore): Promise<GcResult> {
  for await (const event of store.versioning.maintenance.gc({ graceMs: 0 })) if (event.kind === 'done') return event
  throw new Error('it did not end')
}

async function packNames({ folder }: TestStore): Promise<string[]> {
  return (await readdir(join(folder, 'packs'), { recursive: true })).filter((name) => name.endsWith('.pack'))
}

describe('garbage collection', () => {
  it('removes the packs that are empty before it needs room for those that are rewritten', async () => {
    let full = false
    const files = {
      ...nodeFiles,
      open: async (...args: Parameters<typeof nodeFiles.open>) => {
        if (full && args[1] === 'create') throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
        return nodeFiles.open(...args)
      },
    }
    const store = await openTestStore({ files })
    try {
      const { versioning } = store
      await versioning.createBranch(images)
      await versioning.createBranch(other)
      // The older pack is thin, the newer one is empty.
      const body = text()
      await putText(versioning, images, 'kept', body)
      for (let i = 0; i < 5; i++) await putText(versioning, other, `gone-${i}`, text())
      const writer = versioning.content.writer({ expectedBytes: 2 ** 30 })
      await writer.write(randomBytes(3_000_000))
      const staged = await writer.finish()
      await versioning.put(other, { path: parsePath('a'), staged, etag: '0'.repeat(32), attributes: { metadata: {} } })
      assert.equal((await packNames(store)).length, 2)
      await versioning.deleteRepo(other.repo)
      full = true
      await assert.rejects(collect(store), StorageFull)
      assert.equal((await packNames(store)).length, 1)
      assert.equal(await getText(versioning, images, 'kept'), body)
      full = false
      assert.equal((await collect(store)).packsRepacked, 1)
      assert.equal(await getText(versioning, images, 'kept'), body)
      await assertSound(store, { deep: true })
    } finally {
      await store.close()
    }
  })

  it('keeps what is in use, also where it was doomed before', async () => {
    const store = await openTestStore()
    try {
      const { versioning, db } = store
      await versioning.createBranch(images)
      const body = text()
      await putText(versioning, images, 'kept', body)
      await db.write((tx) =>
        tx.run('INSERT INTO doomed_chunk (sha256, length, doomed_ms) SELECT sha256, length, 0 FROM chunk'),
      )
      await store.reopen()
      const { removedChunks, waitingBytes } = await collect(store)
      assert.deepEqual([removedChunks, waitingBytes], [0, 0])
      assert.equal(await getText(store.versioning, images, 'kept'), body)
      await assertSound(store, { deep: true })
    } finally {
      await store.close()
    }
  })
})
