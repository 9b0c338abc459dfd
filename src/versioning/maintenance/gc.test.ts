import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Content } from '../content/index.ts'
import type { GcOptions, GcResult } from '../maintenance.ts'
import { ContentGone, GcRunning, parsePath } from '../model/index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const other = branchOf('other@master')

/** A text that no other object has, long enough to be a chunk. */
const text = (bytes = 2_000) => randomBytes(bytes / 2).toString('hex')

async function collect(store: TestStore, options: GcOptions = {}): Promise<GcResult> {
  let result: GcResult | undefined
  for await (const event of store.versioning.maintenance.gc({ graceMs: 0, ...options })) {
    if (event.kind === 'done') result = event
  }
  return result!
}

async function packBytes(store: TestStore): Promise<number> {
  let bytes = 0
  const folder = join(store.folder, 'packs')
  for (const name of await readdir(folder, { recursive: true })) {
    if (name.endsWith('.pack')) bytes += (await stat(join(folder, name))).size
  }
  return bytes
}

describe('garbage collection', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore({ clock: { now: () => 1_800_000_000_000 } })
    await store.versioning.createBranch(images)
    await store.versioning.createBranch(other)
  })

  afterEach(() => store.close())

  it('removes nothing that a commit, a version or a branch refers to', async () => {
    const { versioning } = store
    const first = text()
    await putText(versioning, images, 'a', first)
    await sealCommit(versioning, images)
    const second = text()
    const { version } = await putText(versioning, images, 'a', second)
    const commit = await sealCommit(versioning, images)
    const open = text()
    await putText(versioning, images, 'b', open)
    const result = await collect(store)
    assert.deepEqual([result.nodes, result.chunks, result.removedChunks, result.packsRemoved], [0, 0, 0, 0])
    assert.equal(await getText(versioning, images, 'a'), second)
    assert.equal(await getText(versioning, images, 'b'), open)
    assert.equal(
      await getText(versioning, { kind: 'commit', repo: images.repo, commit: commit.parents[0]! }, 'a'),
      first,
    )
    assert.equal(version.commit, commit.id)
    await assertSound(store, { deep: true })
  })

  it('gives back the room of a deleted repo, and keeps the rest', async () => {
    const { versioning } = store
    const kept = new Map<string, string>()
    for (let i = 0; i < 40; i++) {
      const body = text(20_000)
      kept.set(`kept-${i}`, body)
      await putText(versioning, images, `kept-${i}`, body)
      await putText(versioning, other, `gone-${i}`, text(20_000))
      await putText(versioning, other, `shared-${i}`, body)
    }
    await sealCommit(versioning, images)
    await sealCommit(versioning, other)
    const before = await packBytes(store)
    await versioning.deleteRepo(other.repo)
    const dry = await collect(store, { dryRun: true })
    assert.equal(dry.chunks, 40)
    assert.equal(await packBytes(store), before)
    const result = await collect(store)
    assert.deepEqual([result.chunks, result.chunkBytes], [dry.chunks, dry.chunkBytes])
    assert.deepEqual([result.nodes, result.nodeBytes], [dry.nodes, dry.nodeBytes])
    assert.ok(result.nodes > 0)
    assert.equal(result.removedChunks, 40)
    // Half of it was unused.
    const after = await packBytes(store)
    assert.ok(after < before * 0.51, `${before} bytes became ${after}`)
    for (const [path, body] of kept) assert.equal(await getText(versioning, images, path), body)
    await assertSound(store, { deep: true })
    await store.reopen()
    for (const [path, body] of kept) assert.equal(await getText(store.versioning, images, path), body)
    assert.equal((await collect(store)).chunks, 0)
  })

  it('keeps what is written, copied and committed while it runs, and ends', async () => {
    const { versioning } = store
    const doomed = Array.from({ length: 60 }, () => text())
    for (const [i, body] of doomed.entries()) await putText(versioning, other, `old-${i}`, body)
    await sealCommit(versioning, other)
    await versioning.deleteRepo(other.repo)
    let running = true
    const written = new Map<string, string>()
    const writer = async (name: string) => {
      for (let i = 0; running; i++) {
        // Every other one is content that is just being collected.
        const body = i % 2 === 0 ? doomed[i % doomed.length]! : text()
        const path = `${name}-${i}`
        try {
          await putText(versioning, images, path, body)
          written.set(path, body)
        } catch (error) {
          assert.ok(error instanceof ContentGone, String(error))
        }
        if (i % 5 === 4) await sealCommit(versioning, images)
      }
    }
    const writers = ['a', 'b', 'c'].map(writer)
    for (let round = 0; round < 3; round++) await collect(store)
    running = false
    await Promise.all(writers)
    await assertSound(store, { deep: true })
    for (const [path, body] of written) assert.equal(await getText(versioning, images, path), body)
    await collect(store)
    await assertSound(store, { deep: true })
    for (const [path, body] of written) assert.equal(await getText(versioning, images, path), body)
  })

  it('brings back what is sent again before its bytes go, and stores anew what is gone', async () => {
    const { versioning } = store
    const body = text()
    await putText(versioning, other, 'a', body)
    await versioning.deleteRepo(other.repo)
    const waiting = await collect(store, { graceMs: 100 })
    assert.deepEqual([waiting.chunks, waiting.removedChunks], [1, 0])
    assert.equal(waiting.waitingBytes, body.length)
    const found = await versioning.content.putBytes(Buffer.from(body))
    assert.deepEqual([found.chunks.length, found.relies.length], [0, 1])
    await putText(versioning, images, 'back', body)
    const after = await collect(store)
    assert.deepEqual([after.chunks, after.removedChunks], [0, 0])
    assert.equal(await getText(versioning, images, 'back'), body)
    await assertSound(store, { deep: true })
  })

  it('refuses what relies on content that is gone, so that it is sent again', async () => {
    const { versioning } = store
    const body = text()
    await putText(versioning, other, 'a', body)
    const staged = await versioning.content.putBytes(Buffer.from(body))
    assert.deepEqual([staged.chunks.length, staged.relies.length], [0, 1])
    await versioning.deleteRepo(other.repo)
    assert.equal((await collect(store)).removedChunks, 1)
    const write = { path: parsePath('b'), staged, etag: '0'.repeat(32), attributes: { metadata: {} } }
    await assert.rejects(versioning.put(images, write), ContentGone)
    assert.deepEqual((await versioning.list(images, { limit: 10 })).entries, [])
    // One that relies on nothing goes through in the same group.
    const [refused, done] = await Promise.allSettled([
      versioning.put(images, write),
      putText(versioning, images, 'c', text()),
    ])
    assert.deepEqual([refused!.status, done!.status], ['rejected', 'fulfilled'])
    await putText(versioning, images, 'b', body)
    assert.equal(await getText(versioning, images, 'b'), body)
    await assertSound(store, { deep: true })
  })

  it('refuses a copy of what was collected since it was looked at', async () => {
    const { versioning } = store
    const writer = versioning.content.writer()
    await writer.write(randomBytes(3_000_000))
    const staged = await writer.finish()
    await versioning.put(other, { path: parsePath('a'), staged, etag: '0'.repeat(32), attributes: { metadata: {} } })
    const source = await versioning.stat(other, parsePath('a'))
    await versioning.deleteRepo(other.repo)
    const copy = () => versioning.copy(images, parsePath('b'), { source, attributes: { metadata: {} } })
    await collect(store, { graceMs: 100 })
    await assert.rejects(copy(), ContentGone)
    await collect(store)
    await assert.rejects(copy(), ContentGone)
    await assertSound(store, { deep: true })
  })

  it('keeps a copy that was made while it marked, with all that it is made of', async () => {
    const { versioning } = store
    const writer = versioning.content.writer()
    await writer.write(randomBytes(3_000_000))
    const staged = await writer.finish()
    await versioning.put(other, { path: parsePath('a'), staged, etag: '0'.repeat(32), attributes: { metadata: {} } })
    const source = await versioning.stat(other, parsePath('a'))
    await versioning.deleteRepo(other.repo)
    // The first time it is asked for what is copied meanwhile, one copy is made.
    let copied: Promise<unknown> | undefined
    const { collecting } = versioning.content as unknown as Pick<Content, 'collecting'>
    const takeCopied = collecting.takeCopied.bind(collecting)
    const held = Promise.withResolvers<void>()
    collecting.takeCopied = () => {
      copied ??= versioning.copy(images, parsePath('b'), { source, attributes: { metadata: {} } }).finally(held.resolve)
      copied.catch(() => {
        // Looked at below: it may be refused before the collection has ended.
      })
      return takeCopied()
    }
    await collect(store)
    await copied?.catch((error: unknown) => assert.ok(error instanceof ContentGone, String(error)))
    await assertSound(store, { deep: true })
  })

  it('does not remove the trees that are being made, whatever rows say of them yet', async () => {
    const { versioning } = store
    for (let i = 0; i < 300; i++) await putText(versioning, images, `file-${i}`, `text ${i}`)
    const sealed = versioning.seal(images)
    const results = await Promise.all([collect(store), collect(store).catch((error: unknown) => error), sealed])
    assert.ok(results[1] instanceof GcRunning)
    const commit = await versioning.waitForCommit((await sealed)!.commit)
    assert.equal(commit.files, 300)
    await collect(store)
    await assertSound(store, { deep: true })
  })

  it('rewrites packs that are mostly unused, under those who read them', async () => {
    const { versioning } = store
    const kept = new Map<string, string>()
    for (let i = 0; i < 60; i++) {
      await putText(versioning, other, `gone-${i}`, text(20_000))
      if (i % 3 > 0) continue
      kept.set(`kept-${i}`, text(20_000))
      await putText(versioning, images, `kept-${i}`, kept.get(`kept-${i}`)!)
    }
    await sealCommit(versioning, images)
    await store.reopen()
    const reopened = store.versioning
    // Places and packs are known to the reader from here on.
    for (const [path, body] of kept) assert.equal(await getText(reopened, images, path), body)
    const before = await packBytes(store)
    await reopened.deleteRepo(other.repo)
    let reading = true
    const reader = (async () => {
      while (reading) for (const [path, body] of kept) assert.equal(await getText(reopened, images, path), body)
    })()
    const result = await collect(store)
    reading = false
    await reader
    assert.equal(result.packsRepacked, 1)
    const after = await packBytes(store)
    // But for the header of the pack that it all went to.
    assert.ok(Math.abs(before - after - result.reclaimedBytes) <= 16)
    assert.ok(after < before / 2, `${before} bytes became ${after}`)
    for (const [path, body] of kept) assert.equal(await getText(reopened, images, path), body)
    await assertSound(store, { deep: true })
    await store.reopen()
    for (const [path, body] of kept) assert.equal(await getText(store.versioning, images, path), body)
  })
})
