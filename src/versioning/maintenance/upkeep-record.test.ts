import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openFileStore } from '../../cloud/index.ts'
import { type Clock, Metrics, silentLog } from '../../kernel/index.ts'
import { branchOf, openTestStore, putText, sealCommit } from '../testing/store.ts'
import { measureUpkeep } from './upkeep-record.ts'

const images = branchOf('images@master')
const gone = branchOf('images@gone')

describe('the metrics of the upkeep', () => {
  it('say when the store was collected, checked and backed up, and what came of it, also after a restart', async (t) => {
    let nowMs = 1_700_000_000_000
    const clock: Clock = { now: () => nowMs }
    const store = await openTestStore({ clock })
    t.after(() => store.close())
    const { maintenance } = store.versioning
    const scrape = async () => {
      const metrics = new Metrics(silentLog)
      measureUpkeep(metrics, store.db)
      const lines = (await metrics.render()).split('\n').filter((line) => line.startsWith('sluice_'))
      return Object.fromEntries(lines.map((line) => line.split(' '))) as Record<string, string>
    }
    const never = {
      sluice_gc_last_time_seconds: '0',
      sluice_gc_runs_total: '0',
      sluice_gc_reclaimed_bytes_total: '0',
      'sluice_fsck_last_time_seconds{depth="quick"}': '0',
      'sluice_fsck_last_time_seconds{depth="deep"}': '0',
      'sluice_fsck_last_faults{depth="quick"}': '0',
      'sluice_fsck_last_faults{depth="deep"}': '0',
      sluice_backup_last_time_seconds: '0',
      sluice_backups_total: '0',
    }
    assert.deepEqual(await scrape(), never)

    await store.versioning.createBranch(images)
    await store.versioning.createBranch(gone)
    await putText(store.versioning, images, 'a.txt', 'a'.repeat(2_000))
    await sealCommit(store.versioning, images)
    for await (const _event of maintenance.gc({ dryRun: true })) {
      // To its end.
    }
    for await (const event of maintenance.fsck()) if (event.kind === 'phase') break
    assert.deepEqual(await scrape(), never, 'a dry run collects nothing, and a check that was left has no verdict')

    await putText(store.versioning, gone, 'b.txt', 'b'.repeat(50_000))
    await store.versioning.deleteBranch(gone, { force: true })
    let reclaimed = 0
    for (let run = 0; run < 2; run++) {
      for await (const event of maintenance.gc({ graceMs: 0 })) {
        if (event.kind === 'done') reclaimed += event.reclaimedBytes
      }
    }
    assert.ok(reclaimed > 40_000)
    nowMs += 1_500
    for await (const _event of maintenance.fsck()) {
      // To its end.
    }
    nowMs += 1_000
    const place = await openFileStore(await mkdtemp(join(tmpdir(), 'sluice-backup-')), { clock })
    t.after(() => rm(fileURLToPath(place.url), { recursive: true, force: true }))
    for await (const _event of store.versioning.backups.create(place)) {
      // To its end.
    }
    await place.close()
    const kept = {
      ...never,
      sluice_gc_last_time_seconds: '1700000000',
      sluice_gc_runs_total: '2',
      sluice_gc_reclaimed_bytes_total: String(reclaimed),
      'sluice_fsck_last_time_seconds{depth="quick"}': '1700000001.5',
      sluice_backup_last_time_seconds: '1700000002.5',
      sluice_backups_total: '1',
    }
    assert.deepEqual(await scrape(), kept)

    await store.reopen()
    assert.deepEqual(await scrape(), kept)

    nowMs += 1_000
    const packs = join(store.folder, 'packs')
    for (const file of await readdir(packs, { recursive: true, withFileTypes: true })) {
      if (file.isFile() && file.name !== 'store.json') await truncate(join(file.parentPath, file.name), 100)
    }
    let faults = 0
    for await (const event of store.versioning.maintenance.fsck({ deep: true })) {
      if (event.kind === 'verdict') faults = event.faults
    }
    assert.ok(faults > 0)
    const damaged = await scrape()
    for (const depth of ['quick', 'deep']) {
      assert.equal(damaged[`sluice_fsck_last_time_seconds{depth="${depth}"}`], '1700000003.5')
      assert.equal(damaged[`sluice_fsck_last_faults{depth="${depth}"}`], String(faults))
    }
  })
})
