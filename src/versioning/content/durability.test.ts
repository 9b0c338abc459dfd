import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFile, stat, truncate } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { createLog, MIB, randomHexId } from '../../kernel/index.ts'
import type { StagedContent } from '../content-store.ts'
import type { Content, FileLayer } from './index.ts'
import { type Forgetting, forgetfulFiles } from './testing/forgetful-files.ts'
import { readAll, StoreFolder, store } from './testing/open-store.ts'

interface Acknowledged {
  readonly body: Buffer
  readonly staged: StagedContent
}

/** A seeded random source (mulberry32), so that a failure can be run again. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const limits = { ownPackBytes: 3 * MIB, packBytes: 2 * MIB, flushEveryBytes: MIB, chunkBytes: 256 * 1024 }

/** Uploads of all kinds until the power goes; returns what was acknowledged: published after it was durable. */
async function writeUntilCrash(
  folder: StoreFolder,
  seed: number,
  options: Forgetting,
): Promise<readonly Acknowledged[]> {
  const random = seeded(seed)
  const files = forgetfulFiles(options)
  const content = await folder.open({ files, limits })
  const acknowledged: Acknowledged[] = []
  const sizes = [900, 20_000, 300_000, 1_100_000, 3_500_000]
  const client = async (uploads: number) => {
    for (let i = 0; i < uploads; i++) {
      const body = randomBytes(sizes[Math.floor(random() * sizes.length)] as number)
      const staged = body.length < limits.chunkBytes ? await content.putBytes(body) : await store(content, body)
      await folder.publish(content, staged)
      acknowledged.push({ body, staged })
    }
  }
  const clients = Array.from({ length: 6 }, () => client(8).catch(() => 'cut off'))
  const target = 4 + Math.floor(random() * 20)
  while (acknowledged.length < target) await new Promise((resolve) => setImmediate(resolve))
  await files.crash(seed % 2 === 0 ? random : undefined)
  await Promise.all(clients)
  await content.close().catch(() => 'the power is off')
  return acknowledged
}

/** As a plain object, for changing one call of it. */
function bound(files: FileLayer): FileLayer {
  return {
    open: (path, mode) => files.open(path, mode),
    makeFolder: (path) => files.makeFolder(path),
    syncFolder: (path) => files.syncFolder(path),
    remove: (path) => files.remove(path),
  }
}

async function missing(content: Content, acknowledged: readonly Acknowledged[]): Promise<number> {
  let count = 0
  for (const { body, staged } of acknowledged) {
    const found = await readAll(content, staged).catch(() => undefined)
    if (!found?.equals(body)) count++
  }
  return count
}

async function lostIn(seeds: readonly number[], options: Forgetting): Promise<number> {
  let lost = 0
  for (const seed of seeds) {
    const folder = await StoreFolder.make()
    const acknowledged = [...(await writeUntilCrash(folder, seed, options))]
    // What is left is gone on with, and crashes again.
    acknowledged.push(...(await writeUntilCrash(folder, seed + 1000, options)))
    const content = await folder.open()
    lost += await missing(content, acknowledged)
    const staged = await store(content, randomBytes(400_000))
    await folder.publish(content, staged)
    assert.equal((await readAll(content, staged)).length, 400_000)
    await content.close()
    await folder.remove()
  }
  return lost
}

describe('after a loss of power', () => {
  it('everything acknowledged is there, byte for byte', async () => {
    assert.equal(await lostIn([1, 2, 3, 4], {}), 0)
  })

  it('it would not be, were packs not flushed: the test above can fail', async () => {
    assert.notEqual(await lostIn([1, 2], { ignore: 'datasync' }), 0)
  })

  it('it would not be, were folders not flushed', async () => {
    assert.notEqual(await lostIn([1], { ignore: 'syncFolder' }), 0)
  })

  it('a folder that a killed process made and did not flush is flushed by the next', async () => {
    const folder = await StoreFolder.make()
    const files = forgetfulFiles()
    const never = new Promise<never>(() => {})
    const newName = () => `ab${randomHexId().slice(2)}`
    const killed = await folder.open({
      newName,
      files: { ...bound(files), syncFolder: (path) => (path.endsWith('packs') ? never : files.syncFolder(path)) },
    })
    killed.putBytes(randomBytes(600)).catch(() => 'never')
    while ((await folder.packFiles()).length === 0) await new Promise((resolve) => setImmediate(resolve))
    const next = await folder.open({ files, newName })
    const body = randomBytes(5000)
    const staged = await next.putBytes(body)
    await folder.publish(next, staged)
    await files.crash()
    const content = await folder.open()
    assert.deepEqual(await content.readBytes(staged.content), body)
    await content.close()
    await folder.remove()
  })
})

describe('a torn tail', () => {
  it('is cut wherever it tears, whole records stay, and the pack is gone on with', async () => {
    const folder = await StoreFolder.make()
    const content = await folder.open()
    const [published, whole, last] = [randomBytes(700), randomBytes(650), randomBytes(600)]
    const first = await content.putBytes(published)
    await folder.publish(content, first)
    const unpublished = await content.putBytes(whole)
    const torn = await content.putBytes(last)
    await content.close()
    const [path] = await folder.packFiles()
    assert.ok(path)
    const saved = `${path}.saved`
    await copyFile(path, saved)
    const lastStart = torn.chunks[0]!.offset - 48
    for (let length = lastStart; length < lastStart + 48 + 600; length++) {
      await copyFile(saved, path)
      await truncate(path, length)
      const again = await folder.open()
      assert.equal((await stat(path)).size, lastStart, `torn at ${length}`)
      await again.close()
    }
    for (const at of [0, 5, 8, 12, 44, 48, 647]) {
      await copyFile(saved, path)
      await folder.damage(path, (bytes) => {
        bytes[lastStart + at]! ^= 0x10
        return bytes
      })
      await (await folder.open()).close()
      assert.equal((await stat(path)).size, lastStart, `byte ${at} of the last record changed`)
    }
    const again = await folder.open()
    const next = await again.putBytes(last)
    assert.deepEqual(next.chunks[0], torn.chunks[0])
    await folder.publish(again, next, unpublished)
    assert.deepEqual(await again.readBytes(first.content), published)
    assert.deepEqual(await again.readBytes(unpublished.content), whole)
    assert.deepEqual(await again.readBytes(next.content), last)
    await again.close()
    await folder.remove()
  })

  it('is never cut below what is published: that is damage, it is logged with the pack, and other files go on', async () => {
    const folder = await StoreFolder.make()
    const content = await folder.open()
    const bodies = [randomBytes(800), randomBytes(900)]
    const staged = [await content.putBytes(bodies[0]!), await content.putBytes(bodies[1]!)]
    await folder.publish(content, ...staged)
    await content.close()
    const [path] = await folder.packFiles()
    const { size } = await stat(path!)
    await truncate(path!, size - 1)
    const lines: unknown[] = []
    const log = createLog('error', { write: (line) => lines.push(JSON.parse(line)) })
    const again = await folder.open({ log })
    assert.equal((await stat(path!)).size, size - 1)
    assert.ok(path!.includes((lines[0] as { pack: string }).pack))
    assert.deepEqual(await again.readBytes(staged[0]!.content), bodies[0])
    await assert.rejects(again.readBytes(staged[1]!.content), { code: 'Corrupt' })
    const healed = await again.putBytes(bodies[1]!)
    assert.equal(healed.chunks.length, 1)
    await folder.publish(again, healed)
    assert.deepEqual(await again.readBytes(staged[1]!.content), bodies[1])
    await again.close()
    const third = await folder.open()
    assert.deepEqual(await third.readBytes(staged[1]!.content), bodies[1])
    await third.close()
    await folder.remove()
  })

  it('leaves nothing of an upload with a pack of its own that was not published', async () => {
    const folder = await StoreFolder.make()
    const content = await folder.open({ limits })
    await store(content, randomBytes(4 * MIB))
    await content.close()
    assert.equal((await folder.packFiles()).length, 1)
    await (await folder.open()).close()
    assert.deepEqual(await folder.packFiles(), [])
    assert.deepEqual(await folder.packRows(), [])
    await folder.remove()
  })
})
