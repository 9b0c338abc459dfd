import assert from 'node:assert/strict'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { InvalidInput, type MigrationSet, NewerStore, silentLog } from '../../kernel/index.ts'
import type { FsckEvent } from '../fsck.ts'
import { versioningMigrations } from '../index.ts'
import { branchOf, openTestStore, putText, type TestStore } from '../testing/store.ts'
import { checkStopped } from './offline-fsck.ts'

const images = branchOf('images@master')

describe('fsck of a store that is not running', () => {
  let store: TestStore
  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
    await putText(store.versioning, images, 'a', 'x'.repeat(5_000))
    await store.leave()
  })
  afterEach(() => rm(store.folder, { recursive: true, force: true }))

  async function check(known: MigrationSet): Promise<FsckEvent | undefined> {
    let last: FsckEvent | undefined
    const stopped = { dataFolder: store.folder, known: [known], sources: [], log: silentLog }
    for await (const event of checkStopped(stopped, {})) last = event
    return last
  }

  it('finds nothing wrong with one that is sound', async () => {
    const verdict = await check(versioningMigrations)
    assert.equal(verdict?.kind === 'verdict' && verdict.verdict, 'clean')
  })

  it('says what to do with one that an older release used last', async () => {
    const { floor, migrations } = versioningMigrations
    const now = migrations.length
    const next = { floor, migrations: [...migrations, { version: now + 1, up: [] }] }
    await assert.rejects(check(next), (error) => {
      assert.ok(error instanceof InvalidInput)
      assert.match(error.message, /^nothing was checked: .* by an older release/)
      assert.match(error.message, new RegExp(`versioning format is version ${now}, this release's ${now + 1}\\)`))
      assert.match(error.message, /Check it with that release; or start this one on it once/)
      return true
    })
  })

  it('refuses one with packs of a newer release', async () => {
    const packs = join(store.folder, 'packs')
    const name = (await readdir(packs, { recursive: true })).find((file) => file.endsWith('.pack'))
    const header = Buffer.alloc(16)
    const file = await open(join(packs, name!), 'r+')
    await file.read(header, 0, 16, 0)
    header.writeUInt32LE(2, 8)
    header.writeUInt32LE(crc32(header.subarray(0, 12)), 12)
    await file.write(header, 0, 16, 0)
    await file.close()
    await assert.rejects(check(versioningMigrations), NewerStore)
  })
})
