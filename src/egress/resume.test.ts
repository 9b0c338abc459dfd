import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { ObjectNotFound, type ObjectStore, openFileStore, type UploadOptions } from '../cloud/index.ts'
import { MIB, systemClock } from '../kernel/index.ts'
import { PART_BYTES } from './limits.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { eachHarness } from './testing/each.ts'
import { type Harness, signalled } from './testing/harness.ts'

const harness = eachHarness()

const many = Object.fromEntries(
  Array.from({ length: 40 }, (_, index) => [`f/${String(index).padStart(3, '0')}`, `text ${index}`]),
)

/** Ends the process while so many files are on their way, which arrive all the same: it could note none of them. */
async function dieWithout(h: Harness, files: Record<string, string | Buffer>, notes: number): Promise<void> {
  const gate = signalled()
  const onTheirWay = signalled()
  let begun = 0
  h.target.before = async (operation) => {
    if (operation !== 'put' && operation !== 'complete') return
    begun++
    if (begun === notes) onTheirWay.call()
    await (begun > notes ? new Promise(() => undefined) : gate.promise)
  }
  await h.request('1', await h.tree(files))
  await onTheirWay.promise
  h.cut()
  gate.call()
  while ((await h.target.list()).objects.length < notes) await new Promise(setImmediate)
  h.target.before = () => undefined
  h.target.log.length = 0
}

describe('a push that goes on after its process died', () => {
  it('looks at what may have arrived, and sends only what has not', async () => {
    const h = await harness()
    await dieWithout(h, many, 10)
    assert.deepEqual(await h.db.all('SELECT count(*) AS n FROM egress_object WHERE sent = 1'), [{ n: 0 }])
    await h.crash()
    assert.equal((await h.ended('1')).state, 'success')
    assert.equal(h.target.keysOf('put').length, 30)
    assert.ok(h.target.keysOf('list').length >= 1 && h.target.keysOf('head').length <= 11)
    assert.deepEqual(await h.held(), many)
  })

  it('sends again what somebody has changed meanwhile', async () => {
    const h = await harness()
    await dieWithout(h, { a: 'ours', b: 'ours' }, 2)
    await h.target.put('a', Buffer.from('them'), 4)
    h.target.log.length = 0
    await h.crash()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual(h.target.keysOf('put'), ['a'])
    assert.deepEqual(await h.held(), { a: 'ours', b: 'ours' })
  })

  it('does not begin a large file again that was complete', async () => {
    const h = await harness()
    await dieWithout(h, { 'big.bin': randomBytes(20 * MIB) }, 1)
    await h.crash()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual([h.target.keysOf('createUpload'), h.target.keysOf('putPart')], [[], []])
  })

  it('tells the meter of what it sends itself only', async () => {
    let arrived = 0
    const meter = { arrived: (bytes: number) => (arrived += bytes), ended: () => undefined }
    const h = await harness({ meter })
    const begun = signalled()
    h.target.before = (operation, key) => {
      if (operation !== 'putPart' || !key.endsWith(' 2')) return
      begun.call()
      return new Promise(() => undefined)
    }
    await h.request('1', await h.tree({ 'big.bin': randomBytes(20 * MIB) }))
    await begun.promise
    while ((await partsOf(h)).length < 2) await new Promise(setImmediate)
    h.target.before = () => undefined
    await h.crash()
    const { bytesDone } = await h.ended('1')
    assert.deepEqual([bytesDone, arrived], [20 * MIB, 20 * MIB])
  })
})

/** The folder as a store that keeps one stream for an upload and where it ends, as Google's is. */
async function sequentialStore(folder: string) {
  const inner = await openFileStore(folder, { clock: systemClock })
  const begun: UploadOptions[] = []
  const store: ObjectStore = new Proxy(inner, {
    get(_, name) {
      const value: unknown = Reflect.get(inner, name, inner)
      if (typeof value !== 'function') return value
      if (name !== 'createUpload' && name !== 'resumeUpload') return value.bind(inner)
      return async (...args: unknown[]) => {
        if (name === 'createUpload') begun.push(args[1] as UploadOptions)
        return inOrder(await value.apply(inner, args))
      }
    },
  })
  return { store, begun }
}

function inOrder(upload: Awaited<ReturnType<ObjectStore['createUpload']>>): typeof upload {
  let busy = false
  return {
    uploadId: upload.uploadId,
    sequential: true,
    putPart: async (number, body, signal) => {
      const there = await upload.listParts()
      if (busy || there.length !== number - 1) throw new ObjectNotFound('out of order', { what: 'part', number })
      busy = true
      const part = await upload.putPart(number, body, signal)
      busy = false
      return part
    },
    listParts: () => upload.listParts(),
    complete: (parts) => upload.complete(parts),
    abort: () => upload.abort(),
  }
}

describe('a large file', () => {
  it('goes part after part where the store wants it so, in sizes that it takes', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-sequential-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const { store, begun } = await sequentialStore(folder)
    const h = await harness({ target: store })
    const bytes = randomBytes(3 * PART_BYTES + 5)
    const status = await h.push('1', { 'big.bin': bytes })
    assert.deepEqual([status.state, status.reason], ['success', undefined])
    assert.ok((await buffer(await store.get('big.bin'))).equals(bytes))
    assert.deepEqual([begun[0]?.size, begun[0]?.partBytes], [bytes.length, PART_BYTES])
  })

  it('keeps the parts that it was begun with, whatever the limit of bandwidth is now', async () => {
    const h = await harness()
    const begun = signalled()
    h.target.before = (operation, key) => {
      if (operation !== 'putPart' || !key.endsWith(' 2')) return
      begun.call()
      return new Promise(() => undefined)
    }
    const bytes = randomBytes(20 * MIB)
    const root = await h.tree({ 'big.bin': bytes })
    await h.request('1', root)
    await begun.promise
    while ((await partsOf(h)).length < 2) await new Promise(setImmediate)
    await h.db.write((tx) =>
      tx.run('UPDATE egress_push SET settings = ?', [JSON.stringify({ ...PLAIN_SETTINGS, bandwidth: 6 * MIB })]),
    )
    h.target.before = () => undefined
    h.target.log.length = 0
    await h.crash()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual([h.target.keysOf('createUpload'), h.target.keysOf('putPart')], [[], ['big.bin 2']])
    assert.ok((await buffer(await h.target.get('big.bin'))).equals(bytes))
  })
})

async function partsOf(h: Harness) {
  const row = await h.db.get<{ upload_id: string }>('SELECT upload_id FROM egress_upload')
  return (await h.target.resumeUpload('big.bin', row!.upload_id)).listParts()
}

describe('a limit of bandwidth', () => {
  it('holds for all that is pushed, small files and parts of large ones', async () => {
    let nowMs = 0
    const pace = {
      now: () => nowMs,
      sleep: async (ms: number) => {
        await new Promise(setImmediate)
        nowMs += ms
      },
    }
    const h = await harness({ bandwidth: 1_000_000, pace })
    const files = { 'a.bin': randomBytes(500_000), 'b.bin': randomBytes(2_500_000), 'c.bin': randomBytes(17 * MIB) }
    const status = await h.push('1', files)
    assert.equal(status.state, 'success')
    const wantedMs = (3_000_000 + 17 * MIB) / 1000
    assert.ok(nowMs >= wantedMs - 200 && nowMs < wantedMs + 500, `${nowMs} ms instead of ${wantedMs}`)
    for (const [path, bytes] of Object.entries(files)) {
      assert.ok((await buffer(await h.target.get(path))).equals(bytes), path)
    }
  })
})
