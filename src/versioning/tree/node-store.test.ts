import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type Database, migrate, openSqlite, silentLog } from '../../kernel/index.ts'
import { apply } from './apply.ts'
import { build } from './build.ts'
import { collect, itemOf, MemoryStore, put, settings } from './fixtures.ts'
import { lookup, lookupMany } from './lookup.ts'
import { nodeMigrations, openNodeStore } from './node-store.ts'
import { createTrees } from './trees.ts'
import type { LeafItem } from './types.ts'

describe('the node store', () => {
  let folder: string
  let db: Database
  const open = async () => {
    const opened = await openSqlite({ file: join(folder, 'nodes.sqlite'), log: silentLog })
    await migrate(opened, [nodeMigrations])
    return opened
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-nodes-'))
    db = await open()
  })
  afterEach(async () => {
    await db.close()
    await rm(folder, { recursive: true })
  })

  const items: LeafItem[] = Array.from({ length: 8000 }, (_, i) =>
    itemOf(`file-${String(i).padStart(6, '0')}`, { mark: i }),
  )

  it('makes the same trees as every other store, and has them when it is opened again', async () => {
    const root = await build(openNodeStore(db), settings, items)
    const memory = new MemoryStore()
    assert.equal(root, await build(memory, settings, items))
    const changes = items.filter((_, i) => i % 10 === 0).map((item) => put({ ...item, size: 77 }))
    const changed = await apply(openNodeStore(db), settings, root, changes)
    assert.equal(changed, await apply(memory, settings, root, changes))
    await db.close()
    db = await open()
    const store = openNodeStore(db)
    const keys = items.map((item) => item.key)
    assert.deepEqual(await lookupMany(store, root, keys), items)
    assert.equal((await collect(createTrees(openNodeStore(db)).walk(changed))).length, items.length)
  })

  it('gives what is right with a cache that holds next to nothing, or nothing', async () => {
    const root = await build(openNodeStore(db), settings, items)
    for (const cacheBytes of [0, 30_000]) {
      const store = openNodeStore(db, { cacheBytes })
      assert.equal((await collect(createTrees(store).walk(root))).length, items.length)
      assert.deepEqual(await lookupMany(store, root, [items[5]!.key, items[7000]!.key]), [items[5], items[7000]])
    }
  })

  /** The database, with the reads of single nodes counted. */
  const counted = () => {
    const counts = { reads: 0 }
    const database: Database = Object.assign(Object.create(db), {
      get: (sql: string, params: Buffer[]) => {
        counts.reads++
        return db.get(sql, params)
      },
    })
    return { database, counts }
  }

  it('reads a node once, however many ask for it at the same time, and keeps it', async () => {
    const root = await build(openNodeStore(db), settings, items)
    const { database, counts } = counted()
    const store = openNodeStore(database)
    const bodies = await Promise.all([store.get(root), store.get(root), store.get(root)])
    assert.ok(bodies.every((body) => body === bodies[0]))
    assert.equal(await store.get(root), bodies[0])
    assert.equal(counts.reads, 1)
  })

  it('keeps what was used last when its cache is full', async () => {
    const memory = new MemoryStore()
    await build(memory, settings, items)
    await openNodeStore(db).put([...memory.nodes.values()])
    const leaves = [...memory.nodes.values()].filter((node) => node.level === 0).map((node) => node.hash)
    const { database, counts } = counted()
    const store = openNodeStore(database, { cacheBytes: 200_000 })
    const favourite = leaves[0]!
    for (const hash of leaves) {
      await store.get(hash)
      await store.get(favourite)
    }
    assert.equal(counts.reads, leaves.length, 'one that is used again and again stays')
    await store.warm?.(leaves.slice(-5))
    for (const hash of leaves.slice(-5)) await store.get(hash)
    assert.equal(counts.reads, leaves.length, 'so do the newest')
    await store.get(leaves[1]!)
    assert.equal(counts.reads, leaves.length + 1, 'the others have gone')
  })

  it('takes the same nodes any number of times', async () => {
    const store = openNodeStore(db)
    const root = await build(store, settings, items)
    const count = () => db.get<{ n: number }>('SELECT count(*) AS n FROM node')
    const before = await count()
    assert.equal(await build(store, settings, items), root)
    assert.deepEqual(await count(), before)
  })

  it('never serves a damaged or missing node, and mends one that is put again', async () => {
    const memory = new MemoryStore()
    const root = await build(memory, settings, items)
    await openNodeStore(db).put([...memory.nodes.values()])
    const leaf = [...memory.nodes.values()].find((node) => node.level === 0)!
    // The last byte is one of an object's inline content: only the hash can tell.
    const damaged = Buffer.from(leaf.body)
    damaged[damaged.length - 1] = 0x64
    const hash = Buffer.from(leaf.hash, 'hex')
    await db.write((tx) => tx.run('UPDATE node SET body = ? WHERE hash = ?', [damaged, hash]))
    await assert.rejects(openNodeStore(db).get(leaf.hash), { code: 'Corrupt', message: /does not match/ })
    const store = openNodeStore(db)
    await store.warm?.([leaf.hash, root])
    await assert.rejects(lookup(store, root, items[0]!.key), { code: 'Corrupt' })
    await store.put([leaf])
    assert.deepEqual(await lookup(store, root, items[0]!.key), items[0])
    await db.write((tx) => tx.run('DELETE FROM node WHERE hash = ?', [hash]))
    await assert.rejects(openNodeStore(db).get(leaf.hash), { code: 'Corrupt', message: /missing/ })
  })

  it('keeps nothing of a slice that could not be written whole', async () => {
    const store = openNodeStore(db)
    const memory = new MemoryStore()
    await build(memory, settings, items)
    const nodes = [...memory.nodes.values()]
    const bad = { ...nodes[0]!, body: null as unknown as Buffer }
    await assert.rejects(store.put([...nodes.slice(1), bad]))
    for (const node of nodes) await assert.rejects(store.get(node.hash), { code: 'Corrupt' })
    await store.put(nodes)
    for (const node of nodes) assert.deepEqual(await store.get(node.hash), node.body)
  })
})
