import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { MIB } from '../kernel/index.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'
import { Harness, signalled } from './testing/harness.ts'
import type { VerifyEvent } from './verify.ts'

let open: Harness | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})
async function harness(): Promise<Harness> {
  open = await Harness.open()
  return open
}

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
    await h.push(id('1'), { a: '1', gone: '1' })
    await h.target.delete(['gone'])
    const [reached, goOn] = [signalled(), signalled()]
    h.target.before = async (operation) => {
      if (operation !== 'list') return
      h.target.before = async (other) => {
        if (other !== 'put') return
        reached.call()
        await goOn.promise
      }
      await h.request(id('2'), await h.tree({ a: '2', gone: '1' }))
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
    await h.push(id('1'), { a: '1', gone: '1' })
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

describe('a folder of a commit', () => {
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
    assert.deepEqual(
      Object.fromEntries(folders.map((folder) => [folder.commit_id[0], folder.whole])),
      { 1: 0, 2: 1, 3: 1 },
    )
  })
})
