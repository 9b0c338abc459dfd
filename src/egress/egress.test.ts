import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { ObjectNotFound, StoreDenied, StoreFull, StoreUnreachable } from '../cloud/index.ts'
import { MIB } from '../kernel/index.ts'
import { PART_BYTES } from './limits.ts'
import { eachHarness } from './testing/each.ts'
import { type Harness, signalled } from './testing/harness.ts'

const harness = eachHarness()

const hundred = Object.fromEntries(
  Array.from({ length: 100 }, (_, index) => [`f/${String(index).padStart(3, '0')}`, `text ${index}`]),
)

describe('egress', () => {
  it('makes the target what the tree is, and afterwards sends only what changed and deletes only what is gone', async () => {
    const h = await harness()
    const first = await h.push('1', { 'a.txt': 'a', 'b/c.txt': 'c', empty: '', same: 'same' })
    assert.deepEqual([first.state, first.filesTotal, first.filesDone, first.bytesDone], ['success', 4, 4, 6])
    assert.deepEqual(await h.held(), { 'a.txt': 'a', 'b/c.txt': 'c', empty: '', same: 'same' })

    const second = await h.push('2', { 'a.txt': 'A', d: 'd', empty: '', same: 'same' })
    assert.deepEqual(h.target.keysOf('put'), ['a.txt', 'd'])
    assert.deepEqual(h.target.keysOf('delete'), ['b/c.txt'])
    assert.deepEqual(
      [
        second.filesTotal,
        second.filesDone,
        second.filesSkipped,
        second.filesDeleted,
        second.bytesTotal,
        second.bytesDone,
      ],
      [4, 2, 2, 1, 2, 2],
    )
    assert.deepEqual(await h.held(), { 'a.txt': 'A', d: 'd', empty: '', same: 'same' })

    const third = await h.push('3', { 'a.txt': 'A', d: 'd', empty: '', same: 'same' })
    assert.deepEqual([third.state, third.filesSkipped, h.target.log], ['success', 4, []])
    const last = await h.push('4', {})
    assert.deepEqual([last.state, last.filesTotal, last.filesDeleted], ['success', 0, 4])
    assert.deepEqual(await h.held(), {})
  })

  it('leaves alone what it did not put there', async () => {
    const h = await harness()
    await h.target.put('foreign', Buffer.from('theirs'), 6)
    await h.push('1', { mine: '1' })
    await h.push('2', {})
    assert.deepEqual(await h.held(), { foreign: 'theirs' })
  })

  it('says at the target where a file comes from', async () => {
    const h = await harness()
    await h.push('job-1', { 'a.png': 'x' })
    const info = await h.target.head('a.png')
    assert.deepEqual(
      { ...info?.metadata },
      {
        'sluice-pipeline': 'edges',
        'sluice-sha256': createHash('sha256').update('x').digest('base64url'),
        'sluice-repo': 'edges',
        'sluice-commit': 'c'.repeat(32),
        'sluice-job': 'job-1',
      },
    )
  })

  it('is asked for once per job', async () => {
    const h = await harness()
    await h.push('1', { a: '1' })
    await h.push('1', { a: '2' })
    assert.deepEqual(await h.held(), { a: '1' })
  })

  it('ends well with 30 % of all requests failing', async () => {
    const h = await harness()
    let turn = 0
    h.target.before = () => {
      if (turn++ % 10 < 3) throw new StoreUnreachable('cut off')
    }
    const status = await h.push('1', { ...hundred, 'big.bin': randomBytes(40 * MIB) })
    assert.deepEqual([status.state, status.filesDone, status.bytesDone], ['success', 101, status.bytesTotal])
    const second = await h.push('2', {})
    assert.deepEqual([second.state, second.filesDeleted], ['success', 101])
    h.target.before = () => undefined
    assert.deepEqual(await h.held(), {})
  })

  it('goes on after a crash without sending again what the ledger says was sent', async () => {
    const h = await harness()
    const halfway = signalled()
    let puts = 0
    h.target.before = (operation) => {
      if (operation !== 'put' || puts++ < 50) return
      halfway.call()
      return new Promise(() => undefined)
    }
    await h.request('1', await h.tree(hundred))
    await halfway.promise
    const sent = await settledLedger(h)
    h.target.log.length = 0
    h.target.before = () => undefined
    await h.crash()
    const status = await h.ended('1')
    assert.deepEqual([status.state, status.attempts, status.filesTotal], ['success', 2, 100])
    assert.equal(sent.length, 50)
    assert.deepEqual(
      h.target.keysOf('put'),
      Object.keys(hundred).filter((path) => !sent.includes(path)),
    )
    assert.deepEqual(await h.held(), hundred)
  })

  it('takes up a large file at the part where a crash cut it off', async () => {
    const h = await harness()
    const bytes = randomBytes(5 * PART_BYTES)
    const halfway = signalled()
    let parts = 0
    h.target.before = (operation) => {
      if (operation !== 'putPart' || parts++ < 3) return
      // Both others are on their way then: none is left that the dead process could still begin.
      if (parts === 5) halfway.call()
      return new Promise(() => undefined)
    }
    await h.request('1', await h.tree({ 'big.bin': bytes }))
    await halfway.promise
    while (h.target.keysOf('putPart').length < 3) await new Promise(setImmediate)
    await partsAtTarget(h, 3)
    h.target.log.length = 0
    h.target.before = () => undefined
    await h.crash()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual(h.target.keysOf('createUpload'), [])
    assert.equal(h.target.keysOf('putPart').length, 2)
    assert.ok((await buffer(await h.target.get('big.bin'))).equals(bytes))
    // What each try sent, by which its rate is told.
    assert.equal((await h.egress.inspect('1'))?.history.at(-1)?.bytes, 2 * PART_BYTES)
  })

  it('goes on with a push that was stopped', async () => {
    const h = await harness()
    const begun = signalled()
    const goOn = signalled()
    h.target.before = async (operation, key) => {
      if (operation !== 'put' || key !== 'b') return
      begun.call()
      await goOn.promise
    }
    await h.request('1', await h.tree({ a: '1', b: '2' }))
    await begun.promise
    const stopped = h.egress.stop()
    goOn.call()
    await stopped
    assert.equal((await h.egress.status('1'))?.state, 'waiting')
    await h.egress.start()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual(await h.held(), { a: '1', b: '2' })
  })

  it('fails with the reason, and does not delete anything then', async () => {
    for (const [error, reason] of [
      [
        new StoreDenied('s3.example does not know the access key id'),
        /f\/\d+ could not be pushed to s3:\/\/bucket: s3\.example does not know/,
      ],
      [new ObjectNotFound('s3.example has no bucket bucket', { what: 'bucket' }), /has no bucket/],
      [new StoreFull('s3.example is full'), /is full/],
      [new StoreUnreachable('s3.example can not be reached (ECONNREFUSED)'), /ECONNREFUSED\) \(tried 12 times\)/],
    ] as const) {
      const h = await harness()
      await h.push('1', { gone: 'x' })
      h.target.before = (operation) => {
        if (operation === 'put') throw error
      }
      const status = await h.push('2', hundred)
      assert.equal(status.state, 'failed')
      assert.match(status.reason!, reason)
      h.target.before = () => undefined
      assert.deepEqual(await h.held(), { gone: 'x' })
      const next = await h.push('3', hundred)
      assert.deepEqual([next.state, next.filesDeleted], ['success', 1])
      assert.deepEqual(await h.held(), hundred)
      await h.close()
    }
  })

  it('brings the target back in step after a push that failed halfway', async () => {
    const h = await harness()
    await h.push('1', { a: '1', b: '1', c: '1' })
    const before = await h.target.head('a')
    h.target.before = async (operation, key) => {
      if (operation !== 'put' || key !== 'b') return
      while ((await h.target.head('a'))?.etag === before?.etag) await new Promise(setImmediate)
      throw new StoreDenied('no')
    }
    assert.equal((await h.push('2', { a: '2', b: '2', c: '2' })).state, 'failed')
    h.target.before = () => undefined
    assert.equal((await h.push('3', { a: '1', b: '1', c: '1' })).state, 'success')
    assert.deepEqual(await h.held(), { a: '1', b: '1', c: '1' })
  })

  it('publishes _SUCCESS after the data and after what is gone is deleted', async () => {
    const h = await harness()
    await h.push('1', { 'out/part-0': 'x' })
    h.target.log.length = 0
    await h.push('2', { 'out/_SUCCESS': '', 'out/part-1': 'y', 'out/z': 'z' })
    assert.deepEqual(h.target.log.slice(-2), ['delete out/part-0', 'put out/_SUCCESS'])
    assert.equal(h.target.log.length, 4)
  })

  it('does not publish _SUCCESS when data is missing', async () => {
    const h = await harness()
    h.target.before = (operation, key) => {
      if (operation === 'put' && key === 'z') throw new StoreDenied('no')
    }
    await h.push('1', { _SUCCESS: '', a: 'x', z: 'z' })
    h.target.before = () => undefined
    assert.ok(!('_SUCCESS' in (await h.held())))
  })

  it('keeps two pipelines from writing or deleting the same keys, also by overlapping folders', async () => {
    const h = await harness()
    await h.push('1', { 'x/summary': 'one', 'x/own': 'one' }, { pipeline: 'one' })
    const second = await h.push('2', { summary: 'two', other: 'two' }, { pipeline: 'two', url: 's3://bucket/x' })
    assert.equal(second.state, 'failed')
    assert.match(
      second.reason!,
      /summary at s3:\/\/bucket\/x was pushed from repo one: give each pipeline, and each repo that is pushed by hand, a target folder/,
    )
    const third = await h.push('3', {}, { pipeline: 'two', url: 's3://bucket/x' })
    assert.deepEqual([third.state, third.filesDeleted], ['success', 0])
    assert.deepEqual(await h.held(), { 'x/own': 'one', 'x/summary': 'one' })
    await h.db.write((tx) => h.egress.release(tx, 'one'))
    assert.equal((await h.push('4', { 'x/summary': 'two' }, { pipeline: 'two' })).state, 'success')
  })

  it('does not delete an object that was there before a push that died could write', async () => {
    const h = await harness()
    await h.target.put('theirs', Buffer.from('theirs'), 6)
    const reached = signalled()
    h.target.before = (operation) => {
      if (operation !== 'put') return
      reached.call()
      return new Promise(() => undefined)
    }
    await h.request('1', await h.tree({ theirs: 'ours' }))
    await reached.promise
    await h.db.write((tx) => h.egress.cancel(tx, '1'))
    h.target.before = () => undefined
    await h.crash()
    const status = await h.push('2', { other: 'x' })
    assert.deepEqual([status.state, status.filesDeleted], ['success', 0])
    assert.deepEqual(await h.held(), { other: 'x', theirs: 'theirs' })
  })

  it('stops a push that is cancelled', async () => {
    const h = await harness()
    const begun = signalled()
    const goOn = signalled()
    h.target.before = async (operation) => {
      if (operation !== 'put') return
      begun.call()
      await goOn.promise
    }
    await h.request('1', await h.tree(hundred))
    await begun.promise
    await h.db.write((tx) => h.egress.cancel(tx, '1'))
    goOn.call()
    const status = await h.ended('1')
    assert.deepEqual([status.state, status.reason], ['failed', 'cancelled'])
    assert.equal((await h.push('2', { a: '1' })).state, 'success')
    assert.deepEqual(await h.held(), { a: '1' })
  })

  it('runs the pushes of a pipeline in the order they were asked for', async () => {
    const h = await harness()
    const roots = await Promise.all(['1', '2', '3'].map((text) => h.tree({ a: text })))
    for (const [index, root] of roots.entries()) await h.request(String(index), root)
    for (const index of roots.keys()) assert.equal((await h.ended(String(index))).state, 'success')
    assert.deepEqual(await h.held(), { a: '3' })
  })

  it('rejects whatever a push writes that was taken over', async () => {
    const h = await harness()
    const begun = signalled()
    const goOn = signalled()
    let puts = 0
    h.target.before = async (operation) => {
      if (operation !== 'put') return
      if (puts++ > 0) throw new StoreDenied('no')
      begun.call()
      await goOn.promise
    }
    await h.request('1', await h.tree({ a: '1' }))
    await begun.promise
    const slow = await h.takeOver()
    const status = await h.ended('1')
    assert.deepEqual([status.state, status.attempts], ['failed', 2])
    goOn.call()
    await slow.ended
    assert.ok(await h.target.head('a'))
    assert.deepEqual(await h.egress.status('1'), status)
    assert.deepEqual(await h.db.all('SELECT sent FROM egress_object'), [{ sent: 0 }])
  })

  it('deletes what a push that died had sent, though it could not note that any more', async () => {
    const h = await harness()
    h.target.before = (operation) => {
      if (operation === 'put') h.cut()
    }
    await h.request('1', await h.tree({ a: 'ours' }))
    while (h.target.keysOf('put').length === 0) await new Promise(setImmediate)
    while (!(await h.target.head('a'))) await new Promise(setImmediate)
    await h.db.write((tx) => tx.run("UPDATE egress_push SET state = 'failed'"))
    await h.crash()
    assert.equal((await h.push('2', {})).filesDeleted, 1)
    assert.deepEqual(await h.held(), {})
  })

  it('fails when its secret is gone, and says how to make one', async () => {
    const h = await harness()
    await (await h.secrets()).delete('target')
    const status = await h.push('1', { a: '1' })
    assert.equal(status.state, 'failed')
    assert.match(status.reason!, /sluice secret create/)
  })
})

/** Waits until the ledger has all that has reached the target. */
async function settledLedger(h: Harness): Promise<string[]> {
  for (;;) {
    const rows = await h.db.all<{ key: string }>('SELECT key FROM egress_object WHERE sent = 1 ORDER BY key')
    if (rows.length === h.target.keysOf('put').length) return rows.map(({ key }) => key)
    await new Promise(setImmediate)
  }
}

async function partsAtTarget(h: Harness, count: number): Promise<void> {
  const row = await h.db.get<{ upload_id: string }>('SELECT upload_id FROM egress_upload')
  const upload = await h.target.resumeUpload('big.bin', row!.upload_id)
  while ((await upload.listParts()).length < count) await new Promise(setImmediate)
}
