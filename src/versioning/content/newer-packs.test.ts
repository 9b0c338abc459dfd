import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { NewerStore } from '../../kernel/index.ts'
import { assertSound, faultsOf } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText } from '../testing/store.ts'
import { fileHeader, packVersion } from './record.ts'
import { StoreFolder } from './testing/open-store.ts'

/** The beginning of a pack as a later release may write it. */
function ofVersion(version: number, bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  changed.writeUInt32LE(version, 8)
  changed.writeUInt32LE(crc32(changed.subarray(0, 12)), 12)
  return changed
}

describe('packs of a newer release', () => {
  let folder: StoreFolder
  beforeEach(async () => {
    folder = await StoreFolder.make()
  })
  afterEach(() => folder.remove())

  for (const published of [true, false]) {
    it(`are refused, and nothing is changed, ${published ? 'with' : 'without'} anything in them that is in use`, async () => {
      const content = await folder.open()
      const staged = await content.putBytes(randomBytes(5_000))
      if (published) await folder.publish(content, staged)
      await content.close()
      // As a crash leaves it.
      await folder.db.write((tx) => tx.run("UPDATE pack SET state = 'open'"))
      const [file] = await folder.packFiles()
      await folder.damage(file!, (bytes) => ofVersion(2, bytes))
      const before = await readFile(file!)
      await assert.rejects(folder.open(), (error) => {
        assert.ok(error instanceof NewerStore)
        assert.match(error.message, /packs format is version 2, this release knows up to 1: use the newer release/)
        return true
      })
      assert.deepEqual(await readFile(file!), before)
      assert.equal((await folder.packRows()).length, 1)
      await folder.damage(file!, (bytes) => ofVersion(1, bytes))
      await (await folder.open()).close()
    })
  }

  it('are told apart from packs that are damaged', () => {
    assert.equal(packVersion(fileHeader()), 1)
    assert.equal(packVersion(ofVersion(7, fileHeader())), 7)
    assert.equal(packVersion(fileHeader().subarray(0, 15)), undefined)
    for (let at = 0; at < 16; at++) {
      const changed = fileHeader()
      changed[at]! ^= 1
      assert.equal(packVersion(changed), undefined)
    }
  })
})

describe('fsck', () => {
  it('says that a pack is of a newer release, and does not write its header anew', async () => {
    const store = await openTestStore()
    try {
      const images = branchOf('images@master')
      await store.versioning.createBranch(images)
      await putText(store.versioning, images, 'a', 'x'.repeat(5_000))
      const row = await store.db.get<{ name: string }>('SELECT name FROM pack')
      const file = `${store.folder}/packs/${row!.name.slice(0, 2)}/${row!.name}.pack`
      const newer = ofVersion(2, await readFile(file))
      await writeFile(file, newer)
      const faults = await faultsOf(store, { repair: true })
      assert.match(faults.map(({ message }) => message).join('\n'), /was written by a newer release: use that one/)
      assert.deepEqual(await readFile(file), newer)
      await writeFile(file, ofVersion(1, newer))
      await assertSound(store, { deep: true })
      assert.equal(await getText(store.versioning, images, 'a'), 'x'.repeat(5_000))
    } finally {
      await store.close()
    }
  })
})
