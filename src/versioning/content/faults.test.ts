import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { stat, unlink } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { MIB } from '../../kernel/index.ts'
import type { Content } from './index.ts'
import { type FaultyCall, type FaultyFiles, faultyFiles, systemError } from './testing/faulty-files.ts'
import { readAll, StoreFolder, store } from './testing/open-store.ts'

describe('with a disk that fails', () => {
  let folder: StoreFolder
  let content: Content
  let files: FaultyFiles
  const fatal: Error[] = []
  const limits = { ownPackBytes: 4 * MIB, flushEveryBytes: MIB }
  const reopen = async () => {
    content = await folder.open({ files, limits, onFatal: (error) => fatal.push(error) })
  }
  beforeEach(async () => {
    fatal.length = 0
    files = faultyFiles()
    folder = await StoreFolder.make()
    await reopen()
  })
  afterEach(async () => {
    files.fault = undefined
    await content.close()
    assert.equal(files.openFiles, 0)
    await folder.remove()
  })

  for (const code of ['ENOSPC', 'EDQUOT']) {
    for (const call of ['write', 'datasync', 'open', 'syncFolder'] as const) {
      it(`refuses with StorageFull on ${code} in ${call}, and goes on when there is room`, async () => {
        if (call === 'write' || call === 'datasync') await content.putBytes(randomBytes(700))
        files.fault = (asked) => (asked === call ? systemError(code) : undefined)
        const bodies = Array.from({ length: 5 }, () => randomBytes(900))
        for (const result of await Promise.allSettled(bodies.map((body) => content.putBytes(body)))) {
          assert.equal(result.status === 'rejected' && result.reason.code, 'StorageFull')
        }
        await assert.rejects(store(content, randomBytes(4 * MIB)), { code: 'StorageFull' })
        await assert.rejects(store(content, randomBytes(2 * MIB)), { code: 'StorageFull' })
        assert.equal(content.full, true)
        files.fault = undefined
        for (const body of bodies) {
          const staged = await content.putBytes(body)
          await folder.publish(content, staged)
          assert.deepEqual(await content.readBytes(staged.content), body)
        }
        assert.equal(content.full, false)
        assert.deepEqual(fatal, [])
        const large = await store(content, randomBytes(4 * MIB))
        await folder.publish(content, large)
        assert.equal((await readAll(content, large)).length, 4 * MIB)
      })
    }
  }

  it('does not heap up packs while it is full', async () => {
    await content.putBytes(randomBytes(700))
    files.fault = (call) => (call === 'write' ? systemError('ENOSPC') : undefined)
    for (let i = 0; i < 10; i++) {
      await assert.rejects(content.putBytes(randomBytes(900)), { code: 'StorageFull' })
      await assert.rejects(store(content, randomBytes(4 * MIB)), { code: 'StorageFull' })
    }
    await content.close()
    assert.equal((await folder.packFiles()).length, 1)
    assert.equal((await folder.packRows()).length, 1)
  })

  it('keeps what was durable before, and cuts what was not, when a flush finds the disk full', async () => {
    const kept = randomBytes(700)
    const staged = await content.putBytes(kept)
    files.fault = (call) => (call === 'datasync' ? systemError('ENOSPC') : undefined)
    // Cutting back flushes as well: that may fail too.
    await assert.rejects(content.putBytes(randomBytes(900)), { code: 'StorageFull' })
    files.fault = undefined
    await folder.publish(content, staged)
    assert.deepEqual(await content.readBytes(staged.content), kept)
    await content.close()
    await reopen()
    assert.deepEqual(await content.readBytes(staged.content), kept)
  })

  it('cuts off what a write that found the disk full had written', async () => {
    const staged = await content.putBytes(randomBytes(700))
    let writes = 0
    files.fault = (call) => (call !== 'write' ? undefined : writes++ === 0 ? 500 : systemError('ENOSPC'))
    await assert.rejects(content.putBytes(randomBytes(900)), { code: 'StorageFull' })
    const [path] = await folder.packFiles()
    assert.equal((await stat(path!)).size, staged.chunks[0]!.offset + 700)
  })

  for (const call of ['write', 'datasync'] as const) {
    it(`stops for good on EIO in ${call}: nothing is guessed`, async () => {
      const staged = await content.putBytes(randomBytes(700))
      await folder.publish(content, staged)
      let faults = 1
      files.fault = (asked) => (asked === call && faults-- > 0 ? systemError('EIO') : undefined)
      await assert.rejects(content.putBytes(randomBytes(900)), /disk failed/)
      await assert.rejects(content.putBytes(randomBytes(900)), /disk failed/)
      await assert.rejects(store(content, randomBytes(4 * MIB)), /disk failed/)
      assert.equal(fatal.length, 1)
      assert.equal((await content.readBytes(staged.content)).length, 700)
    })
  }

  it('goes on after a short write, down to one byte at a time', async () => {
    for (const most of [1, 47, 1000]) {
      files.fault = (call) => (call === 'write' ? most : undefined)
      const bodies = [randomBytes(600), randomBytes(1500), randomBytes(20_000)].slice(0, most === 1 ? 2 : 3)
      const staged = await Promise.all(bodies.map((body) => content.putBytes(body)))
      await folder.publish(content, ...staged)
      for (const [i, body] of bodies.entries()) assert.deepEqual(await content.readBytes(staged[i]!.content), body)
    }
  })

  it('fails clearly at every single call, and loses nothing', async () => {
    const kept = randomBytes(700)
    const staged = await content.putBytes(kept)
    await folder.publish(content, staged)
    for (const code of ['ENOSPC', 'EMFILE'] as const) {
      for (let nth = 0, hit = true; hit; nth++) {
        assert.ok(nth < 200)
        let calls = 0
        hit = false
        files.fault = (call: FaultyCall) => {
          if (code === 'EMFILE' && call !== 'open') return undefined
          if (calls++ !== nth) return undefined
          hit = true
          return systemError(code)
        }
        const results = await Promise.allSettled([
          store(content, randomBytes(4 * MIB)),
          store(content, randomBytes(1_500_000)),
          content.putBytes(randomBytes(800)),
        ])
        files.fault = undefined
        for (const result of results) {
          if (result.status === 'rejected') assert.match(result.reason.code, /StorageFull|EMFILE/)
          else await folder.publish(content, result.value)
        }
        await content.close()
        assert.equal(files.openFiles, 0)
        await reopen()
        for (const result of results) {
          if (result.status === 'fulfilled')
            assert.equal((await readAll(content, result.value)).length, result.value.size)
        }
        assert.deepEqual(await content.readBytes(staged.content), kept)
      }
    }
    assert.deepEqual(fatal, [])
  })

  it('leaves no file, row or handle of an upload that is aborted, at any point', async () => {
    for (const bytes of [0, 1000, MIB, 3 * MIB, 5 * MIB]) {
      const writer = content.writer({ expectedBytes: 6 * MIB })
      await writer.write(randomBytes(bytes))
      await writer.abort()
      await writer.abort()
      await assert.rejects(writer.write(randomBytes(10)), /aborted|ended/)
      await assert.rejects(writer.finish(), /aborted|ended/)
    }
    const waiting = content.writer({ expectedBytes: 100 * MIB })
    const write = waiting.write(randomBytes(20 * MIB))
    await Promise.all([assert.rejects(write, /aborted|ended/), waiting.abort()])
    assert.equal(files.openFiles, 0)
    assert.deepEqual(await folder.packFiles(), [])
    assert.deepEqual(await folder.packRows(), [])
  })

  it('aborts uploads that are under way when it is closed', async () => {
    const writer = content.writer({ expectedBytes: 6 * MIB })
    await writer.write(randomBytes(5 * MIB))
    await content.close()
    assert.deepEqual(await folder.packFiles(), [])
    await assert.rejects(writer.finish(), /aborted/)
    await assert.rejects(content.putBytes(randomBytes(600)), /closed/)
  })
})

describe('bytes that have changed on the disk', () => {
  let folder: StoreFolder
  let content: Content
  beforeEach(async () => {
    folder = await StoreFolder.make()
    content = await folder.open()
  })
  afterEach(async () => {
    await content.close()
    await folder.remove()
  })

  const flip = async (offset: number) => {
    const [path] = await folder.packFiles()
    await folder.damage(path!, (bytes) => {
      bytes[offset]! ^= 1
      return bytes
    })
  }

  it('are never served, only what is sound before them', async () => {
    const body = randomBytes(6 * MIB)
    const staged = await store(content, body)
    await folder.publish(content, staged)
    const bad = staged.chunks[3]!
    await flip(bad.offset + 77)
    const got: Buffer[] = []
    const read = async () => {
      for await (const piece of content.read(staged.content)) got.push(piece as Buffer)
    }
    await assert.rejects(read(), { code: 'Corrupt' })
    const served = Buffer.concat(got)
    // Where the cuts are depends on the content.
    const badFrom = staged.chunks.slice(0, 3).reduce((sum, { length }) => sum + length, 0)
    assert.ok(served.length <= badFrom)
    assert.deepEqual(served, body.subarray(0, served.length))
    const after = { start: badFrom + bad.length, end: body.length }
    assert.deepEqual(await readAll(content, staged, after), body.subarray(after.start))
  })

  it('are named, and replaced by an upload of the same content', async () => {
    const body = randomBytes(5000)
    const staged = await content.putBytes(body)
    await folder.publish(content, staged)
    await flip(staged.chunks[0]!.offset)
    const [row] = await folder.packRows()
    await assert.rejects(
      content.readBytes(staged.content),
      (error: { code: string; data: { pack: string } }) => error.code === 'Corrupt' && error.data.pack === row!.name,
    )
    const again = await content.putBytes(body)
    assert.equal(again.chunks.length, 1)
    await folder.publish(content, again)
    assert.deepEqual(await content.readBytes(staged.content), body)
  })

  it('are noticed in a manifest, too', async () => {
    const staged = await store(content, randomBytes(2 * MIB))
    await folder.publish(content, staged)
    await flip(staged.chunks.at(-1)!.offset + 3)
    await assert.rejects(readAll(content, staged), { code: 'Corrupt' })
  })

  it('are Corrupt as well where the whole pack is gone', async () => {
    const staged = await content.putBytes(randomBytes(5000))
    await folder.publish(content, staged)
    const [path] = await folder.packFiles()
    await unlink(path!)
    await assert.rejects(content.readBytes(staged.content), { code: 'Corrupt' })
    await content.close()
    content = await folder.open()
    await assert.rejects(content.readBytes(staged.content), { code: 'Corrupt' })
  })
})
