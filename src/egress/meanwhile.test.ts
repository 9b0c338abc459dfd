import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { MIB } from '../kernel/index.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'
import { eachHarness } from './testing/each.ts'
import { type Harness, signalled } from './testing/harness.ts'
import type { VerifyEvent } from './verify.ts'

const harness = eachHarness()

const id = (digit: string) => digit.repeat(32)
const admin = { canonicalId: 'admin', name: 'admin' }
const settings = (more: Partial<PushSettings>): PushSettings => ({ ...PLAIN_SETTINGS, ...more })

async function repair(h: Harness, push: string): Promise<readonly VerifyEvent[]> {
  const events: VerifyEvent[] = []
  const signal = new AbortController().signal
  for await (const event of h.egress.verify(push, { signal, repair: admin })) events.push(event)
  return events
}

describe('the repair of a target', () => {
  it('loses no drift to a push that runs meanwhile', async () => {
    const h = await harness()
    await h.push(id('1'), { a: '1', gone: '1' }, { commit: await h.commit() })
    await h.target.delete(['gone'])
    const commit = await h.commit()
    const [reached, goOn] = [signalled(), signalled()]
    h.target.before = async (operation) => {
      if (operation !== 'list') return
      h.target.before = async (other) => {
        if (other !== 'put') return
        reached.call()
        await goOn.promise
      }
      await h.request(id('2'), await h.tree({ a: '2', gone: '1' }), { commit })
      await reached.promise
    }
    await assert.rejects(repair(h, id('1')), /was pushed to while it was compared/)
    h.target.before = () => undefined
    goOn.call()
    assert.equal((await h.ended(id('2'))).state, 'success')
    const end = (await repair(h, id('2'))).at(-1)
    assert.ok(end?.kind === 'verified' && end.repair !== undefined, JSON.stringify(end))
    assert.equal((await h.ended(end.repair)).state, 'success')
    assert.deepEqual(await h.held(), { a: '2', gone: '1' })
  })

  it('that came to no end is made up for by the next', async () => {
    const h = await harness()
    await h.push(id('1'), { a: '1', gone: '1' }, { commit: await h.commit() })
    await h.target.delete(['gone'])
    h.target.before = async (operation) => {
      if (operation !== 'list') return
      h.target.before = () => undefined
      // Between the comparison and the push that it asks for, the process dies.
      let transactions = 0
      h.committed = () => {
        if (++transactions === 1) h.cut()
      }
    }
    void repair(h, id('1'))
    while ((await h.db.get("SELECT 1 FROM egress_object WHERE fingerprint = ''")) === undefined)
      await new Promise((resolve) => setTimeout(resolve, 5))
    h.committed = () => undefined
    await h.crash()
    const events = await repair(h, id('1'))
    const end = events.at(-1)
    assert.ok(end?.kind === 'verified' && end.repair !== undefined, JSON.stringify(events))
    assert.equal((await h.ended(end.repair)).state, 'success')
    assert.deepEqual(await h.held(), { a: '1', gone: '1' })
  })
})

describe('a pipeline that is deleted', () => {
  it('leaves no parts of a large file at the target', async () => {
    const h = await harness()
    const [reached, goOn] = [signalled(), signalled()]
    h.target.before = async (operation) => {
      if (operation !== 'putPart') return
      reached.call()
      await goOn.promise
    }
    await h.request(id('1'), await h.tree({ big: Buffer.alloc(40 * MIB, 'y') }))
    await reached.promise
    const { upload_id: upload } = (await h.db.get<{ upload_id: string }>('SELECT upload_id FROM egress_upload'))!
    const ended = new Promise<void>((resolve) => {
      let times = 0
      h.egress.onChange(() => ++times === 2 && resolve())
    })
    await h.db.write(async (tx) => {
      await h.egress.cancel(tx, id('1'))
      await h.egress.release(tx, 'edges')
    })
    goOn.call()
    await ended
    await assert.rejects(
      h.target.resumeUpload('big', upload).then((left) => left.listParts()),
      { code: 'ObjectNotFound' },
    )
  })
})

describe('an upload that a deleted pipeline has left', () => {
  it('is not gone on with by another: it would say that the file is of the first', async () => {
    const h = await harness()
    const files = { big: Buffer.alloc(20 * MIB, 'y') }
    h.target.before = (operation) => {
      if (operation === 'complete') throw new StoreDenied('no')
    }
    assert.equal((await h.push(id('1'), files)).state, 'failed')
    await h.db.write((tx) => h.egress.release(tx, 'edges'))
    h.target.before = () => undefined
    assert.equal((await h.push(id('2'), files, { pipeline: 'heir' })).state, 'success')
    assert.equal((await h.target.head('big'))?.metadata['sluice-pipeline'], 'heir')
    assert.equal(await h.db.get('SELECT 1 FROM egress_upload'), undefined)
  })
})

describe('a pipeline that is made again', () => {
  it('takes _SUCCESS of its former life away before it changes anything, and leaves that of others', async () => {
    const h = await harness()
    const marked = settings({ success: true })
    await h.push(id('1'), { a: '1', b: '1' }, { settings: marked })
    await h.db.write((tx) => h.egress.release(tx, 'edges'))
    h.target.before = (operation, key) => {
      if (operation === 'put' && key === 'b') throw new StoreDenied('no')
    }
    assert.equal((await h.push(id('2'), { a: '2', b: '2' }, { settings: marked })).state, 'failed')
    assert.equal((await h.held())['_SUCCESS'], undefined)

    await h.target.put('_SUCCESS', Buffer.alloc(0), 0)
    await h.db.write((tx) => h.egress.release(tx, 'edges'))
    assert.equal((await h.push(id('3'), { a: '3', b: '3' }, { settings: marked })).state, 'failed')
    assert.equal((await h.held())['_SUCCESS'], '')
  })
})

describe('a folder of a commit', () => {
  it('says which file has too long a name for it', async () => {
    const h = await harness()
    const path = `${'d/'.repeat(500)}name`
    const status = await h.push(id('1'), { [path]: '1' }, { settings: settings({ layout: 'commit' }), commit: id('1') })
    assert.equal(status.state, 'failed')
    assert.match(status.reason ?? '', /d\/d\/name has too long a name .*layout "commit"/)
  })

  it('that was being deleted is not one of those that are kept', async () => {
    const h = await harness()
    const kept = (keep: number) => settings({ layout: 'commit', keep })
    for (const digit of ['1', '2']) {
      await h.push(id(digit), { a: digit, b: digit }, { settings: kept(2), commit: id(digit) })
    }
    h.target.before = (operation) => {
      if (operation === 'delete') throw new StoreDenied('no')
    }
    assert.equal((await h.push(id('3'), { a: '3', b: '3' }, { settings: kept(2), commit: id('3') })).state, 'failed')
    const folders = await h.db.all<{ commit_id: string; whole: number }>('SELECT commit_id, whole FROM egress_folder')
    assert.deepEqual(Object.fromEntries(folders.map((folder) => [folder.commit_id[0], folder.whole])), {
      1: 0,
      2: 1,
      3: 1,
    })
  })
})
