import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type ObjectStore, openFileStore } from '../cloud/index.ts'
import { Corrupt, InvalidInput, silentLog, systemClock } from '../kernel/index.ts'
import { RemovalGate } from './history/index.ts'
import {
  type BackupDone,
  type BackupEvent,
  BackupNotFound,
  type BackupOptions,
  BackupPlaceRefused,
  BackupRunning,
  type RestoreEvent,
  restoreBackup,
  type VerifyBackupEvent,
} from './index.ts'
import { StoreBackups } from './maintenance/index.ts'
import { assertSound } from './testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')
const KIB = 1024

describe('backups', () => {
  let store: TestStore
  let folder: string
  let place: ObjectStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
    folder = await mkdtemp(join(tmpdir(), 'sluice-backup-'))
    place = await openFileStore(join(folder, 'place'), { clock: systemClock })
  })
  afterEach(async () => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  })

  const create = async (options: BackupOptions = {}, from = store): Promise<BackupDone> => {
    let last: BackupEvent | undefined
    for await (const event of from.versioning.backups.create(place, options)) last = event
    assert.equal(last?.kind, 'done')
    return last as BackupDone
  }
  const restore = async (into: string, backup?: string): Promise<RestoreEvent> => {
    let last: RestoreEvent | undefined
    const which = backup === undefined ? {} : { backup }
    const input = { place, dataFolder: join(folder, into), log: silentLog, ...which }
    for await (const event of restoreBackup(input)) last = event
    return last!
  }
  const restored = async (into: string, backup?: string): Promise<TestStore> => {
    await restore(into, backup)
    return openTestStore({ folder: join(folder, into) })
  }
  const faultsOf = async (options = {}) => {
    const events: VerifyBackupEvent[] = []
    for await (const event of store.versioning.backups.verify(place, options)) events.push(event)
    const done = events.at(-1)
    assert.ok(done?.kind === 'done')
    const faults = events.filter((event) => event.kind === 'fault')
    assert.equal(done.faults, faults.length)
    return faults
  }

  it('hold everything that was acknowledged before they began, also in open batches', async () => {
    await putText(store.versioning, images, 'a.txt', 'one')
    const commit = await sealCommit(store.versioning, images)
    await putText(store.versioning, images, 'a.txt', 'two')
    await putText(store.versioning, images, 'large.txt', 'x'.repeat(300 * KIB))
    await create()
    const copy = await restored('copy')
    assert.equal(await getText(copy.versioning, images, 'a.txt'), 'two')
    assert.equal(await getText(copy.versioning, images, 'large.txt'), 'x'.repeat(300 * KIB))
    assert.equal(
      await getText(copy.versioning, { kind: 'commit', repo: images.repo, commit: commit.id }, 'a.txt'),
      'one',
    )
    await putText(copy.versioning, images, 'b.txt', 'goes on')
    await sealCommit(copy.versioning, images)
    assert.equal(await getText(copy.versioning, images, 'b.txt'), 'goes on')
    await copy.close()
  })

  it('can be read by nobody but who made them, and so can what is restored', async () => {
    await putText(store.versioning, images, 'large.txt', 'x'.repeat(300 * KIB))
    await create()
    await restore('copy')
    let files = 0
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      // The lock is an empty file.
      if (!entry.isFile() || entry.name === 'lock.sqlite') continue
      files++
      assert.equal((await stat(path)).mode & 0o077, 0, path)
    }
    assert.ok(files > 5)
  })

  it('are whole while the store is written to', async () => {
    const acknowledged = new Map<string, string>()
    let writing = true
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; writing; n++) {
        const [path, text] = [`${writer}/${n}`, `${writer} ${n} `.repeat(300)]
        await putText(store.versioning, images, path, text)
        acknowledged.set(path, text)
        if (n % 20 === 19) await sealCommit(store.versioning, images)
      }
    })
    while (acknowledged.size < 100) await new Promise((resolve) => setImmediate(resolve))
    const before = new Map(acknowledged)
    await create()
    const between = new Map(acknowledged)
    await create()
    writing = false
    await Promise.all(writers)
    for (const [number, texts] of [
      ['1', before],
      ['2', between],
    ] as const) {
      const copy = await restored(`copy-${number}`, number)
      for (const [path, text] of texts) assert.equal(await getText(copy.versioning, images, path), text)
      await copy.close()
    }
  })

  it('send only what came since the one before, also of a pack that grew', async () => {
    await putText(store.versioning, images, 'large.txt', 'x'.repeat(900 * KIB))
    const first = await create()
    const unchanged = await create()
    assert.ok(first.bytesSent > 900 * KIB)
    // The databases remember the first backup.
    assert.ok(unchanged.bytesSent < 700 * KIB, `${unchanged.bytesSent}`)
    const packsBefore = await packObjects()
    await putText(store.versioning, images, 'more.txt', 'y'.repeat(10 * KIB))
    await create()
    const added = (await packObjects()).filter((key) => !packsBefore.includes(key))
    assert.equal(added.length, 1)
    const copy = await restored('copy')
    assert.equal(await getText(copy.versioning, images, 'large.txt'), 'x'.repeat(900 * KIB))
    assert.equal(await getText(copy.versioning, images, 'more.txt'), 'y'.repeat(10 * KIB))
    await copy.close()
  })
  const packObjects = async () => (await place.list({ prefix: 'packs/' })).objects.map(({ key }) => key)

  it('leave the earlier ones good when one is cut off, and do not send again what had arrived', async () => {
    await putText(store.versioning, images, 'a.txt', 'x'.repeat(500 * KIB))
    await create()
    await putText(store.versioning, images, 'b.txt', 'y'.repeat(500 * KIB))
    const stop = new AbortController()
    await assert.rejects(async () => {
      for await (const _ of store.versioning.backups.create(place, { signal: stop.signal })) stop.abort()
    }, /abort/i)
    assert.equal((await store.versioning.backups.list(place)).length, 1)
    assert.deepEqual(await faultsOf({ all: true }), [])
    const copy = await restored('copy')
    assert.equal(await getText(copy.versioning, images, 'a.txt'), 'x'.repeat(500 * KIB))
    await copy.close()
    await create()
    assert.deepEqual(await faultsOf({ all: true }), [])
    const temporary = async () => (await readdir(store.folder)).filter((name) => /tmp/.test(name))
    assert.deepEqual(await temporary(), [])
    // Of one that a crash cut off, the copies of the databases go with the next start.
    await store.reopen({ between: () => cp(folder, join(store.folder, 'backup.tmp'), { recursive: true }) })
    assert.deepEqual(await temporary(), [])
  })

  it('are found damaged by verify and refused by restore, object by object', async () => {
    await putText(store.versioning, images, 'a.txt', 'x'.repeat(500 * KIB))
    await create()
    const pristine = join(folder, 'pristine')
    await cp(join(folder, 'place'), pristine, { recursive: true })
    const objects = (await readdir(pristine, { recursive: true, withFileTypes: true })).filter(
      (entry) => entry.isFile() && !entry.name.startsWith('place.json'),
    )
    assert.ok(objects.length >= 4)
    for (const [index, object] of objects.entries()) {
      const file = join(object.parentPath, object.name).replace(pristine, join(folder, 'place'))
      const bytes = await readFile(file)
      const damaged = Buffer.from(bytes)
      damaged[Math.floor(bytes.length / 3)]! ^= 1
      await writeFile(file, damaged)
      assert.equal((await faultsOf()).length, 1, file)
      await assert.rejects(restore(`damaged-${index}`), Corrupt)
      await assert.rejects(
        restore(`damaged-${index}`),
        /not empty|damaged/,
        'what was begun is not taken for a folder to restore into',
      )
      await rm(file)
      assert.equal((await faultsOf().catch((error: unknown) => [error])).length, 1, file)
      await writeFile(file, bytes)
    }
    assert.deepEqual(await faultsOf(), [])
  })

  it('share packs, and removing some leaves the others whole', async () => {
    const ids: string[] = []
    for (const name of ['a', 'b', 'c']) {
      await putText(store.versioning, images, name, name.repeat(200 * KIB))
      ids.push((await create()).backup.id)
    }
    const removed = await store.versioning.backups.remove(place, { ids: [ids[1]!] })
    assert.deepEqual(removed.backups, [ids[1]])
    assert.deepEqual(await faultsOf({ all: true }), [])
    assert.deepEqual((await store.versioning.backups.remove(place, { keep: 1 })).backups, [ids[0]])
    assert.deepEqual(
      (await store.versioning.backups.list(place)).map(({ id }) => id),
      [ids[2]],
    )
    assert.deepEqual(await faultsOf({ all: true }), [])
    const copy = await restored('copy')
    for (const name of ['a', 'b', 'c']) {
      assert.equal(await getText(copy.versioning, images, name), name.repeat(200 * KIB))
    }
    await copy.close()
    await assert.rejects(store.versioning.backups.remove(place, { ids: ['9'] }), BackupNotFound)
    await assert.rejects(store.versioning.backups.remove(place, { keep: 0 }), BackupNotFound)
    // A backup goes on from what is there, whatever was removed.
    await create()
    assert.deepEqual(await faultsOf({ all: true }), [])
  })

  it('never mix with those of a store that was restored from them, which goes its own way', async () => {
    await putText(store.versioning, images, 'a.txt', 'a'.repeat(100 * KIB))
    await create()
    const copy = await restored('copy')
    // Both go on with the same pack, each in its own way.
    await putText(store.versioning, images, 'b.txt', 'here '.repeat(20 * KIB))
    await putText(copy.versioning, images, 'b.txt', 'there'.repeat(20 * KIB))
    await create()
    await assert.rejects(create({}, copy), BackupPlaceRefused)
    await assert.rejects(copy.versioning.backups.remove(place, { keep: 1 }), BackupPlaceRefused)
    await create({ takeOver: true }, copy)
    await assert.rejects(create(), BackupPlaceRefused)
    assert.deepEqual(await faultsOf({ all: true }), [])
    const [here, there] = [await restored('here', '2'), await restored('there', '3')]
    assert.equal(await getText(here.versioning, images, 'b.txt'), 'here '.repeat(20 * KIB))
    assert.equal(await getText(there.versioning, images, 'b.txt'), 'there'.repeat(20 * KIB))
    for (const one of [copy, here, there]) await one.close()
  })

  it('are whole while garbage is collected from under them', async () => {
    const { versioning } = store
    await versioning.retention.set(images.repo, { keepCommits: 1 })
    let working = true
    let written = 0
    const writer = (async () => {
      for (; working; written++) {
        // What is written is soon replaced, and then removed: packs become thin, and are rewritten.
        await putText(versioning, images, `${written % 7}`, `${written} `.repeat(3 * KIB))
        await sealCommit(versioning, images)
      }
    })()
    const collected = { chunks: 0, packs: 0 }
    const collector = (async () => {
      while (working) {
        for await (const event of versioning.maintenance.gc({ graceMs: 0 })) {
          if (event.kind !== 'done') continue
          collected.chunks += event.removedChunks
          collected.packs += event.packsRemoved + event.packsRepacked
        }
      }
    })()
    while (collected.packs === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    for (let n = 1; n <= 2; n++) await create()
    working = false
    await Promise.all([writer, collector])
    assert.ok(collected.chunks > 0 && collected.packs > 0)
    for (let n = 1; n <= 2; n++) {
      const copy = await restored(`copy-${n}`, `${n}`)
      for await (const _ of copy.versioning.maintenance.gc({ graceMs: 0 })) {
        // The copy is collected too, from where the store was when it was copied.
      }
      await assertSound(copy, { deep: true })
      await copy.close()
    }
  })

  it('hold up whatever would remove from the store, and wait for what is removing', async () => {
    await putText(store.versioning, images, 'a.txt', 'x'.repeat(10 * KIB))
    const gate = new RemovalGate()
    const backups = new StoreBackups({
      db: store.db,
      dataFolder: store.folder,
      databaseFile: join(store.folder, 'meta.sqlite'),
      nodesFile: join(store.folder, 'nodes.sqlite'),
      store: 'this',
      gate,
      clock: systemClock,
      log: silentLog,
    })
    const order: string[] = []
    const step = Promise.withResolvers<void>()
    const removing = gate.removing(async () => {
      await step.promise
      order.push('removed before')
    })
    const creating = (async () => {
      for await (const _ of backups.create(place)) order.push('backup')
    })()
    const later = gate.removing(async () => {
      order.push('removed after')
    })
    await new Promise((resolve) => setImmediate(resolve))
    step.resolve()
    await Promise.all([removing, creating, later])
    assert.deepEqual([...new Set(order)], ['removed before', 'backup', 'removed after'])
  })

  it('are refused one beside another, in a place that holds something else, and into a folder that is not empty', async () => {
    await putText(store.versioning, images, 'a.txt', 'a')
    const under = store.versioning.backups.create(place)[Symbol.asyncIterator]()
    await under.next()
    await assert.rejects(create(), BackupRunning)
    await assert.rejects(store.versioning.backups.remove(place, { keep: 1 }), BackupRunning)
    await under.return?.()
    const other = await openFileStore(join(folder, 'other'), { clock: systemClock })
    await other.put('holiday.jpg', Buffer.from('x'), 1)
    place = other
    await assert.rejects(create(), BackupPlaceRefused)
    await assert.rejects(store.versioning.backups.list(place), BackupPlaceRefused)
    place = await openFileStore(join(folder, 'place'), { clock: systemClock })
    await assert.rejects(restore('empty'), BackupNotFound)
    await create()
    await writeFile(join(folder, 'empty-file'), '')
    await appendFile(join(folder, 'place', 'beside'), '')
    await assert.rejects(restore('place'), InvalidInput)
    await assert.rejects(restore('copy', '7'), BackupNotFound)
  })

  it('that somebody else put there are refused before anything is written, if their list is not one that a backup has', async () => {
    await putText(store.versioning, images, 'a.txt', 'a')
    const { backup } = await create()
    const [listed] = (await place.list({ prefix: 'backups/' })).objects
    const manifest = JSON.parse(await text(await place.get(listed!.key)))
    const [meta, nodes] = manifest.files
    const [pack] = manifest.packs
    const hostile = [
      { files: [meta] },
      { files: [meta, meta, nodes] },
      { files: [meta, nodes, { ...meta, name: '../../meta.sqlite' }] },
      { files: [meta, { ...nodes, size: -1, blocks: [] }] },
      { files: [meta, { ...nodes, size: nodes.size + 0.5 }] },
      { packs: [pack, pack] },
      { packs: [{ ...pack, name: '../x' }] },
      { packs: [{ ...pack, size: 1e300 }] },
      { packs: 'many' },
    ]
    for (const change of hostile) {
      const body = Buffer.from(JSON.stringify({ ...manifest, ...change }))
      const sha256 = createHash('sha256').update(body).digest('hex')
      await place.delete([(await place.list({ prefix: 'backups/' })).objects[0]!.key])
      await place.put(`backups/${backup.id}-${sha256}.json`, body, body.length)
      await assert.rejects(restore('copy'), Corrupt, JSON.stringify(change))
      assert.ok(!(await readdir(folder)).includes('copy'))
    }
  })
})
