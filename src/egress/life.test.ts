import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { MIB } from '../kernel/index.ts'
import { parseRepoName } from '../versioning/index.ts'
import { branchOf, putText } from '../versioning/testing/store.ts'
import { MAX_PUSH_ATTEMPTS, MAX_WAITING_BY_HAND } from './limits.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { ada, commit, run, target } from './testing/by-hand.ts'
import { eachHarness } from './testing/each.ts'
import { signalled } from './testing/harness.ts'

const harness = eachHarness()

describe('an egress by hand', () => {
  it('pushes any finished commit, and is shown with who asked, its times and its tries', async () => {
    const h = await harness()
    const first = await commit(h, 'images', { a: '1' })
    await commit(h, 'images', { a: '2', b: 'b' })
    const { egress, notes } = await h.egress.run({
      repo: parseRepoName('images'),
      revision: 'master',
      egress: target,
      askedBy: ada,
    })
    assert.match(notes.join('\n'), /egress goes to s3:\/\/bucket\/dir/)
    assert.match(egress.id, /^[0-9a-f]{32}$/)
    assert.equal((await h.ended(egress.id)).state, 'success')
    assert.deepEqual(await h.held(), { a: '2', b: 'b' })
    const info = await h.egress.inspect(egress.id.slice(0, 8))
    assert.deepEqual(
      [info.repo, info.url, info.secret, info.askedBy, info.job, info.attempts, info.settings],
      ['images', 's3://bucket/dir', 'target', 'ada', undefined, 1, PLAIN_SETTINGS],
    )
    assert.ok(info.createdMs! <= info.startedMs! && info.startedMs! <= info.endedMs!)
    assert.deepEqual(
      info.history.map(({ attempt, result, files, bytes }) => ({ attempt, result, files, bytes })),
      [{ attempt: 1, result: 'success', files: 2, bytes: 2 }],
    )
    // Back to an older commit: what is gone from it goes there too.
    await h.ended((await run(h, `images@${first}`)).id)
    assert.deepEqual(await h.held(), { a: '1' })
  })

  it('is refused for what is not finished, is not there, or can not be a target', async () => {
    const h = await harness()
    await h.versioning.createBranch(branchOf('images@master'))
    await assert.rejects(run(h, 'images@master'), { code: 'CommitNotFound' })
    await assert.rejects(run(h, 'nothing@master'), { code: 'RepoNotFound' })
    await putText(h.versioning, branchOf('images@master'), 'a', '1')
    const { id } = await h.versioning.startCommit(branchOf('images@master'))
    await assert.rejects(run(h, `images@${id}`), { code: 'CommitUnavailable', message: /is open, and only a finished/ })
    await h.versioning.finishCommit(branchOf('images@master'))
    await assert.rejects(run(h, 'images@master', { URL: 's3://bucket', secret: 'none' }), /there is no secret "none"/)
    await assert.rejects(run(h, 'images@master', { URL: 's3://10.0.0.1.nip/x' }), { code: 'InvalidInput' })
    assert.deepEqual(await h.egress.list(), [])
  })

  it('is refused for a commit that goes between being looked at and being queued', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    const at = branchOf('images@master')
    const { provenance } = h.versioning
    h.versioning.provenance = async (id) => {
      const found = await provenance.call(h.versioning, id)
      await h.versioning.deleteRepo(at.repo)
      return found
    }
    await assert.rejects(run(h, 'images@master'), { code: 'CommitNotFound', message: /not kept any more/ })
    assert.deepEqual(await h.egress.list(), [])
  })

  it("does not change the layout of what is there where none is named: all commits' folders would be gone", async () => {
    const h = await harness()
    const id = await commit(h, 'images', { a: '1' })
    const folders = await run(h, 'images@master', { ...target, layout: 'commit' })
    const refused = { code: 'InvalidInput', message: /egress\.layout is missing.*--layout commit .*--layout plain / }
    // Also while it is on its way.
    await assert.rejects(run(h, 'images@master'), refused)
    await h.ended(folders.id)
    await assert.rejects(run(h, 'images@master'), refused)
    await h.ended((await run(h, 'images@master', { ...target, URL: 's3://bucket/other' })).id)
    await h.ended((await run(h, 'images@master', { ...target, layout: 'commit' })).id)
    assert.equal((await h.held())[`${id}/a`], '1')
    await h.ended((await run(h, 'images@master', { ...target, layout: 'plain' })).id)
    assert.deepEqual(await h.held(), { a: '1' })
    await h.ended((await run(h, 'images@master')).id)
  })

  it('is refused while very many wait', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    await h.egress.stop()
    const { id } = await run(h, 'images@master')
    await h.db.write((tx) =>
      tx.run(
        `INSERT INTO egress_push (id, pipeline, repo, commit_id, root, url, provenance, state)
         SELECT 'x' || value, 'images', 'images', 'c', 'r', 's3://bucket', '[]', 'waiting' FROM json_each(?)`,
        [JSON.stringify(Array.from({ length: MAX_WAITING_BY_HAND - 1 }, (_, index) => index))],
      ),
    )
    await assert.rejects(run(h, 'images@master'), { code: 'EgressRefused', message: /cancel some/ })
    await h.egress.kill(id)
    await run(h, 'images@master')
  })

  it('is listed newest first, by repo and by state, in pages', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    await commit(h, 'words', { w: '1' })
    const ids: string[] = []
    for (const source of ['images@master', 'words@master', 'images@master']) {
      const { id } = await run(h, source, { ...target, URL: `s3://bucket/${ids.length}` })
      await h.ended(id)
      ids.push(id)
    }
    const list = async (...query: Parameters<typeof h.egress.list>) =>
      (await h.egress.list(...query)).map(({ id }) => ids.indexOf(id))
    assert.deepEqual(await list(), [2, 1, 0])
    assert.deepEqual(await list({ repos: ['images'] }), [2, 0])
    assert.deepEqual(await list({ state: 'failed' }), [])
    assert.deepEqual(await list({ limit: 2 }), [2, 1])
    assert.deepEqual(await list({ limit: 2, before: ids[1]! }), [0])
    await assert.rejects(h.egress.list({ before: 'f'.repeat(32) }), { code: 'EgressNotFound' })
    await assert.rejects(h.egress.inspect('f'.repeat(32)), { code: 'EgressNotFound' })
    await assert.rejects(h.egress.inspect('abc'), { code: 'InvalidInput' })
  })
})

describe('the retry of an egress', () => {
  it('goes on from the ledger when what was wrong is put right', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1', b: '2', c: '3' })
    h.target.before = async (operation, key) => {
      if (operation !== 'put' || key !== 'c') return
      // The others are there before.
      while (!(await h.target.head('a')) || !(await h.target.head('b'))) await new Promise(setImmediate)
      throw new StoreDenied('the key is not allowed to write')
    }
    const { id } = await run(h, 'images@master')
    const failed = await h.ended(id)
    assert.match(failed.reason ?? '', /c could not be pushed to s3:\/\/bucket\/dir: the key is not allowed to write/)
    h.target.before = () => undefined
    h.target.log.length = 0
    const again = await h.egress.retry(id)
    assert.deepEqual([again.state === 'failed', again.reason], [false, undefined])
    assert.equal((await h.ended(id)).state, 'success')
    assert.deepEqual(h.target.keysOf('put'), ['c'])
    const { history, attempts } = await h.egress.inspect(id)
    assert.deepEqual(
      history.map(({ attempt, result }) => [attempt, result]),
      [
        [1, 'failed'],
        [2, 'success'],
      ],
    )
    assert.match(history[0]?.reason ?? '', /not allowed to write/)
    assert.equal(attempts, 2)
    await assert.rejects(h.egress.retry(id), { code: 'EgressRefused', message: /has not failed/ })
  })

  it('is refused where it would turn the target back, and for those of jobs', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    const refuse = () => {
      throw new StoreDenied('no')
    }
    h.target.before = refuse
    const first = await run(h, 'images@master')
    await h.ended(first.id)
    h.target.before = () => undefined
    const second = await run(h, 'images@master')
    await h.ended(second.id)
    await assert.rejects(h.egress.retry(first.id), {
      code: 'EgressRefused',
      message: /has been pushed to s3:\/\/bucket\/dir since.*sluice egress run images@/,
    })
    h.target.before = refuse
    await h.push('1', { x: 'x' }, { pipeline: 'edges' })
    await assert.rejects(h.egress.retry('1'), { code: 'EgressRefused', message: /retried with its job/ })
    await h.db.write((tx) => h.egress.requeue(tx, '1'))
    h.target.before = () => undefined
    assert.equal((await h.ended('1')).state, 'success')
    await assert.rejects(
      h.db.write((tx) => h.egress.requeue(tx, '1')),
      { code: 'EgressRefused' },
    )
  })

  it('goes on inside a large file, of which nothing stays at the target when it is cancelled', async () => {
    const h = await harness()
    const root = await h.tree({ big: Buffer.alloc(72 * MIB, 'x') })
    const arrived = async () => {
      const row = await h.db.get<{ upload_id: string }>('SELECT upload_id FROM egress_upload')
      const parts = row ? await (await h.target.resumeUpload('big', row.upload_id)).listParts() : []
      return parts.map(({ number }) => `big ${number}`)
    }
    h.target.before = async (operation, key) => {
      if (operation !== 'putPart' || key !== 'big 3') return
      while ((await arrived()).length < 2) await new Promise(setImmediate)
      throw new StoreDenied('no')
    }
    await h.request('1', root)
    assert.equal((await h.ended('1')).state, 'failed')
    const there = await arrived()
    h.target.before = () => undefined
    h.target.log.length = 0
    await h.db.write((tx) => h.egress.requeue(tx, '1'))
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual(h.target.keysOf('createUpload'), [])
    const sent = h.target.keysOf('putPart')
    assert.ok(sent.includes('big 3') && there.length >= 2)
    assert.deepEqual(
      there.filter((part) => sent.includes(part)),
      [],
    )

    const reached = signalled()
    const goOn = signalled()
    h.target.before = async (operation) => {
      if (operation !== 'putPart') return
      reached.call()
      await goOn.promise
    }
    await h.request('2', await h.tree({ big: Buffer.alloc(72 * MIB, 'y') }))
    await reached.promise
    const { upload_id: upload } = (await h.db.get<{ upload_id: string }>('SELECT upload_id FROM egress_upload'))!
    const ended = new Promise<void>((resolve) => h.egress.onChange(resolve))
    await h.egress.kill('2')
    goOn.call()
    await ended
    while (await h.db.get('SELECT 1 FROM egress_upload')) await new Promise((resolve) => setTimeout(resolve, 5))
    await assert.rejects(
      h.target.resumeUpload('big', upload).then((left) => left.listParts()),
      { code: 'ObjectNotFound' },
    )
  })

  it('begins to count attempts anew', async () => {
    const h = await harness()
    const root = await h.tree({ a: '1' })
    await h.egress.stop()
    await h.request('1', root)
    await h.db.write((tx) => tx.run('UPDATE egress_push SET attempt = ?', [MAX_PUSH_ATTEMPTS]))
    await h.egress.start()
    const status = await h.ended('1')
    assert.match(status.reason ?? '', /20 attempts were begun and none came to an end.*sluice egress retry 1/)
    await h.db.write((tx) => h.egress.requeue(tx, '1'))
    assert.equal((await h.ended('1')).state, 'success')
  })
})

describe('cancelling an egress', () => {
  it('ends one that waits and one that runs, and leaves one that has ended as it was', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    const begun = signalled()
    const goOn = signalled()
    h.target.before = async (operation) => {
      if (operation !== 'put') return
      begun.call()
      await goOn.promise
    }
    const running = await run(h, 'images@master')
    const waiting = await run(h, 'images@master')
    await begun.promise
    for (const { id } of [waiting, running]) {
      const { state, reason } = await h.egress.kill(id)
      assert.deepEqual([state, reason], ['failed', 'cancelled'])
    }
    goOn.call()
    assert.deepEqual(
      (await h.egress.inspect(running.id)).history.map(({ result }) => result),
      ['cancelled'],
    )
    h.target.before = () => undefined
    await h.egress.retry(waiting.id)
    assert.equal((await h.ended(waiting.id)).state, 'success')
    assert.equal((await h.egress.kill(waiting.id)).state, 'success')
  })
})
