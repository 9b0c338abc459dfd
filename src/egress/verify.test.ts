import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { StoreDenied, StoreUnreachable } from '../cloud/index.ts'
import { MIB } from '../kernel/index.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { eachHarness } from './testing/each.ts'
import { type Harness, signalled } from './testing/harness.ts'
import type { VerifyEvent, VerifyResult } from './verify.ts'

const harness = eachHarness()

const id = (digit: string) => digit.repeat(32)
const admin = { canonicalId: 'admin', name: 'admin' }

interface Said {
  readonly drift: Record<string, string>
  readonly foreign: readonly string[]
  readonly end: VerifyResult
}

async function verify(h: Harness, push: string, more: { deep?: boolean; repair?: typeof admin } = {}): Promise<Said> {
  const events: VerifyEvent[] = []
  for await (const event of h.egress.verify(push, { signal: new AbortController().signal, ...more })) events.push(event)
  const end = events.pop()
  assert.ok(end?.kind === 'verified')
  const drift: Record<string, string> = {}
  const foreign: string[] = []
  for (const event of events) {
    if (event.kind === 'drift') drift[event.path] = event.drift
    else if (event.kind === 'foreign') foreign.push(event.path)
  }
  return { drift, foreign, end }
}

const put = (h: Harness, path: string, text: string) => h.target.put(path, Buffer.from(text), Buffer.byteLength(text))

describe('a comparison of a target with the ledger', () => {
  it('finds nothing where all is as it was put there, markers and empty files and odd names too', async () => {
    const h = await harness()
    const files = { 'a/': '', 'a/b': 'x', empty: '', '\u{1f388}': 'y', '\uffee': 'z' }
    await h.push(id('1'), files)
    const { drift, foreign, end } = await verify(h, id('1'))
    assert.deepEqual([drift, foreign], [{}, []])
    assert.deepEqual([end.files, end.bytes, end.missing, end.changed, end.unsent, end.foreign], [4, 3, 0, 0, 0, 0])
    const { verified } = await h.egress.inspect(id('1'))
    assert.equal(verified?.drift, 0)
  })

  it('names what is gone, what is other, and what is not ours', async () => {
    const h = await harness()
    await h.push(id('1'), { gone: '1', longer: '1', other: '1', right: '1' })
    await h.target.delete(['gone'])
    await put(h, 'longer', '12')
    await put(h, 'other', '2')
    await put(h, 'theirs', 'x')
    const { drift, foreign, end } = await verify(h, id('1'))
    assert.deepEqual(drift, { gone: 'missing', longer: 'changed', other: 'changed' })
    assert.deepEqual(foreign, ['theirs'])
    assert.deepEqual([end.files, end.missing, end.changed, end.foreign], [4, 1, 2, 1])
    assert.equal((await h.egress.inspect(id('1'))).verified?.drift, 3)
  })

  it('goes by the ETag where no MD5 is known', async () => {
    const h = await harness()
    await h.push(id('1'), { other: '1', right: '1' })
    await h.db.write((tx) => tx.run('UPDATE egress_object SET md5 = NULL'))
    await put(h, 'other', '2')
    assert.deepEqual((await verify(h, id('1'))).drift, { other: 'changed' })
  })

  it('says of another pipeline’s objects that they are not ours', async () => {
    const h = await harness()
    await h.push(id('1'), { 'x/a': '1' }, { pipeline: 'other' })
    await h.push(id('2'), { b: '1' })
    assert.deepEqual((await verify(h, id('2'))).foreign, ['x/a'])
  })

  it('does not take for drift what a push that failed has not sent', async () => {
    const h = await harness()
    await h.push(id('1'), { a: '1', b: '1' })
    h.target.before = (operation, key) => {
      if (operation === 'put' && key === 'b') throw new StoreDenied('no')
    }
    await h.push(id('2'), { a: '1', b: '2' })
    const { drift, end } = await verify(h, id('2'))
    assert.deepEqual([drift, end.files, end.unsent], [{}, 1, 1])
  })

  it('is refused while the target changes, and at its end where it has', async () => {
    const h = await harness()
    await h.push(id('1'), { a: '1' })
    const [reached, goOn] = [signalled(), signalled()]
    h.target.before = async (operation) => {
      if (operation !== 'put') return
      reached.call()
      await goOn.promise
    }
    await h.request(id('2'), await h.tree({ a: '2' }))
    await reached.promise
    await assert.rejects(verify(h, id('1')), new RegExp(`egress ${id('2')} is changing s3://bucket`))
    goOn.call()
    await h.ended(id('2'))
    h.target.before = async (operation) => {
      if (operation !== 'list') return
      h.target.before = () => undefined
      await h.push(id('3'), { a: '3' })
    }
    await assert.rejects(verify(h, id('2')), /was pushed to while it was compared/)
    assert.equal((await h.egress.inspect(id('2'))).verified, undefined)
  })

  it('reads every object back where it is asked to, and finds what no listing shows', async () => {
    const h = await harness()
    const big = randomBytes(20 * MIB)
    await h.push(id('1'), { a: 'right', big, manifest: 'x' }, { settings: { ...PLAIN_SETTINGS, success: true } })
    let reads = 0
    h.target.before = (operation) => {
      if (operation === 'get' && reads++ === 0) throw new StoreUnreachable('cut off')
    }
    const first = await verify(h, id('1'), { deep: true })
    assert.deepEqual([first.drift, first.end.files, first.end.unread, first.end.deep], [{}, 4, 0, true])
    assert.deepEqual(h.target.keysOf('get'), ['_SUCCESS', 'a', 'big', 'manifest'])

    const rotten = Buffer.from(big)
    rotten.writeUInt8(rotten.readUInt8(19 * MIB) ^ 1, 19 * MIB)
    const { etag } = await h.target.put('big', rotten, rotten.length)
    // As if the store had not noticed either.
    await h.db.write((tx) => tx.run("UPDATE egress_object SET etag = ?, md5 = NULL WHERE key = 'big'", [etag]))
    assert.deepEqual((await verify(h, id('1'))).drift, {})
    assert.deepEqual((await verify(h, id('1'), { deep: true })).drift, { big: 'changed' })
  })

  it('reads the folders of commits back too', async () => {
    const h = await harness()
    const settings = { ...PLAIN_SETTINGS, layout: 'commit', manifests: [{ path: 'm' }] } as const
    await h.push(id('1'), { a: '1', same: 's' }, { settings, commit: id('a') })
    await h.push(id('2'), { a: '2', same: 's' }, { settings, commit: id('b') })
    const { drift, end } = await verify(h, id('2'), { deep: true })
    assert.deepEqual([drift, end.files, end.unread], [{}, 8, 0])
    await put(h, `${id('a')}/same`, 'x')
    await put(h, 'latest', `${id('c')}\n`)
    assert.deepEqual((await verify(h, id('2'), { deep: true })).drift, {
      [`${id('a')}/same`]: 'changed',
      latest: 'changed',
    })
  })

  it('sends again what has drifted where it is asked to, and nothing else', async () => {
    const h = await harness()
    const files = { gone: '1', other: '1', right: '1' }
    await h.push(id('1'), files, { commit: await h.commit() })
    await h.target.delete(['gone'])
    await put(h, 'other', '2')
    h.target.log.length = 0
    const { end } = await verify(h, id('1'), { repair: admin })
    assert.ok(end.repair)
    assert.equal((await h.ended(end.repair)).state, 'success')
    assert.deepEqual(h.target.keysOf('put'), ['gone', 'other'])
    assert.deepEqual(await h.held(), files)
    assert.deepEqual((await verify(h, end.repair)).drift, {})
    assert.equal((await verify(h, end.repair, { repair: admin })).end.repair, undefined)
  })

  it('does not send again what was in a commit that is not kept any more', async () => {
    const h = await harness()
    await h.push(id('1'), { gone: '1' })
    await h.target.delete(['gone'])
    await assert.rejects(verify(h, id('1'), { repair: admin }), /is not kept any more: push a newer one/)
  })

  it('repairs the newest push only, and one that has succeeded', async () => {
    const h = await harness()
    await h.push(id('1'), { a: '1' })
    await h.push(id('2'), { a: '2' })
    await assert.rejects(verify(h, id('1'), { repair: admin }), new RegExp(`egress verify ${id('2')} --repair`))
    h.target.before = () => {
      throw new StoreDenied('no')
    }
    await h.push(id('3'), { a: '3' })
    await assert.rejects(verify(h, id('3'), { repair: admin }), new RegExp(`egress retry ${id('3')}`))
  })
})
