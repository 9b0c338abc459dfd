import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { MIB, migrate, openSqlite, silentLog } from '../kernel/index.ts'
import { parsePath, parseRepoName } from '../versioning/index.ts'
import { branchOf } from '../versioning/testing/store.ts'
import { egressMigrations } from './index.ts'
import { claimPush, endPush, StalePush } from './pushes.ts'
import { EgressQueries } from './queries.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { commit, run, succeeded, target } from './testing/by-hand.ts'
import { eachHarness } from './testing/each.ts'
import { signalled } from './testing/harness.ts'

const harness = eachHarness()

describe('the turns of pushes', () => {
  it('are those of one owner at one bucket, whatever the folder; another bucket is not waited for', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    const begun = signalled()
    const goOn = signalled()
    let first = true
    h.target.before = async (operation) => {
      if (operation !== 'put' || !first) return
      first = false
      begun.call()
      await goOn.promise
    }
    const slow = await run(h, 'images@master')
    await begun.promise
    const behind = await run(h, 'images@master', { ...target, URL: 's3://bucket' })
    const beside = await run(h, 'images@master', { ...target, URL: 's3://other' })
    assert.equal((await h.ended(beside.id)).state, 'success')
    assert.deepEqual(
      [(await h.egress.inspect(slow.id)).state, (await h.egress.inspect(behind.id)).state],
      ['running', 'waiting'],
    )
    goOn.call()
    assert.equal((await h.ended(behind.id)).state, 'success')
    assert.equal((await h.ended(slow.id)).state, 'success')
  })

  it('are kept between processes', async () => {
    const h = await harness()
    const root = await h.tree({ a: '1' })
    await h.egress.stop()
    for (const [id, url] of [
      ['1', 's3://bucket'],
      ['2', 's3://bucket/dir'],
      ['3', 's3://other'],
    ] as const) {
      await h.request(id, root, { url })
    }
    // None of these knows of what the others have claimed but by the rows.
    const claim = async () => (await claimPush(h.db, [], () => undefined))?.id
    assert.deepEqual([await claim(), await claim(), await claim()], ['1', '3', undefined])
    const push = { id: '1', attempt: 1 }
    await h.db.write((tx) => endPush(tx, push, { state: 'success' }))
    assert.deepEqual([await claim(), await claim()], ['2', undefined])
    await assert.rejects(
      h.db.write((tx) => endPush(tx, push, { state: 'success' })),
      StalePush,
    )
  })

  it('are found out at the target where they were not known', async () => {
    const h = await harness()
    const root = await h.tree({ a: '1' })
    await h.egress.stop()
    await h.request('1', root)
    await h.db.write((tx) => tx.run('UPDATE egress_push SET place = NULL'))
    await h.egress.start()
    assert.equal((await h.ended('1')).state, 'success')
    assert.deepEqual(await h.held(), { a: '1' })
    assert.deepEqual(
      (await h.egress.inspect('1')).history.map(({ result }) => result),
      ['interrupted', 'success'],
    )
  })
})

describe('an egress that was begun more than once', () => {
  it('says of each try what became of it', async () => {
    const h = await harness()
    const begun = [signalled(), signalled()]
    const goOn = signalled()
    let puts = 0
    h.target.before = async (operation) => {
      if (operation !== 'put' || puts > 1) return
      begun[puts++]!.call()
      await (puts === 1 ? new Promise(() => undefined) : goOn.promise)
    }
    await h.request('1', await h.tree({ a: '1' }))
    await begun[0]!.promise
    await h.crash()
    await begun[1]!.promise
    const stopped = h.egress.stop()
    goOn.call()
    await stopped
    await h.egress.start()
    assert.equal((await h.ended('1')).state, 'success')
    const { history, attempts } = await h.egress.inspect('1')
    assert.deepEqual(
      history.map(({ result }) => result),
      ['lost', 'interrupted', 'success'],
    )
    assert.ok(history.every(({ endedMs }) => endedMs !== undefined))
    assert.equal(attempts, 3)
  })
})

describe('an egress whose process dies', () => {
  it('right after any of its transactions goes on from there, and is retried from there', async () => {
    for (let survived = 0; ; survived++) {
      const h = await harness()
      await commit(h, 'images', { a: '1', b: '2', gone: 'x' })
      await h.ended((await run(h, 'images@master')).id)
      await h.versioning.delete(branchOf('images@master'), parsePath('gone'))
      await commit(h, 'images', { b: 'two', c: '3', _SUCCESS: '' })
      h.target.before = () => {
        throw new StoreDenied('not yet')
      }
      const { id } = await run(h, 'images@master')
      assert.equal((await h.ended(id)).state, 'failed')
      h.target.before = () => undefined
      h.target.log.length = 0
      let left = survived
      const died = signalled()
      h.committed = () => {
        if (left-- > 0) return
        h.committed = () => undefined
        h.cut()
        died.call()
      }
      void h.egress.retry(id).catch(() => undefined)
      const over = succeeded(h, id).then(() => 'over' as const)
      const whole = (await Promise.race([died.promise.then(() => 'died' as const), over])) === 'over'
      if (!whole) await h.crash()
      await succeeded(h, id)
      assert.deepEqual(await h.held(), { a: '1', b: 'two', c: '3', _SUCCESS: '' })
      const { history } = await h.egress.inspect(id)
      assert.deepEqual([history[0]?.result, history.at(-1)?.result], ['failed', 'success'])
      await h.close()
      if (whole) {
        assert.ok(survived > 5, `${survived} transactions`)
        return
      }
    }
  })

  it('leaves nothing to say to an attempt that is only slow, also when it was cancelled and retried meanwhile', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    const begun = signalled()
    const goOn = signalled()
    let puts = 0
    h.target.before = async (operation) => {
      if (operation !== 'put' || puts++ > 0) return
      begun.call()
      await goOn.promise
    }
    const { id } = await run(h, 'images@master')
    await begun.promise
    const slow = await h.takeOver()
    await h.egress.kill(id)
    await h.egress.retry(id)
    assert.equal((await h.ended(id)).state, 'success')
    const before = await h.egress.inspect(id)
    goOn.call()
    await slow.ended
    assert.deepEqual(await h.egress.inspect(id), before)
  })
})

describe('what was pushed out of a repo', () => {
  it('belongs to nobody any more when the repo is gone', async () => {
    const h = await harness()
    await commit(h, 'images', { a: '1' })
    await h.ended((await run(h, 'images@master')).id)
    await commit(h, 'words', { a: '2' })
    const taken = await run(h, 'words@master')
    assert.match((await h.ended(taken.id)).reason ?? '', /was pushed from repo images/)
    await h.versioning.deleteRepo(parseRepoName('images'))
    await h.egress.retry(taken.id)
    assert.equal((await h.ended(taken.id)).state, 'success')
    assert.deepEqual(await h.held(), { a: '2' })
  })
})

describe('the progress of a push', () => {
  it('is kept while it runs, for other processes too', async () => {
    const h = await harness()
    const reached = signalled()
    const goOn = signalled()
    const bytes = 40 * MIB
    h.target.before = async (operation, key) => {
      if (operation !== 'putPart' || key !== 'z 3') return
      reached.call()
      await goOn.promise
    }
    await h.request('1', await h.tree({ z: Buffer.alloc(bytes) }))
    await reached.promise
    // Another process sees the rows only.
    const elsewhere = new EgressQueries(h.db, () => undefined)
    for (;;) {
      const status = await elsewhere.status('1')
      if (status?.bytesDone === 32 * MIB) {
        assert.deepEqual([status.filesTotal, status.filesDone, status.bytesTotal], [1, 0, bytes])
        assert.ok(status.bytesPerSecond !== undefined && status.startedMs !== undefined)
        break
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const here = await h.egress.status('1')
    assert.deepEqual([here?.state, here?.filesDone, here?.bytesDone], ['running', 0, 32 * MIB])
    goOn.call()
    const end = await h.ended('1')
    assert.deepEqual([end.filesDone, end.bytesDone, end.secondsLeft], [1, bytes, undefined])
  })
})

describe('a store of before egresses had ids', () => {
  it('keeps its pushes, and goes on with those that have not ended', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-egress-schema-'))
    const db = await openSqlite({ file: join(folder, 'db.sqlite'), log: silentLog })
    try {
      await migrate(db, [{ ...egressMigrations, migrations: egressMigrations.migrations.slice(0, 1) }])
      await db.write(async (tx) => {
        for (const [job, state] of [
          ['a'.repeat(32), 'success'],
          ['b'.repeat(32), 'running'],
        ]) {
          await tx.run(
            `INSERT INTO egress_push (job, pipeline, repo, commit_id, root, url, secret, provenance, state, attempt, files_total)
             VALUES (?, 'edges', 'edges', 'c', 'r', 's3://bucket', 'target', '[]', ?, 3, 7)`,
            [job!, state!],
          )
        }
      })
      await migrate(db, [egressMigrations])
      const queries = new EgressQueries(db, () => undefined)
      const [running, ended] = await queries.list({})
      assert.deepEqual([running?.id, running?.job, running?.state], ['b'.repeat(32), 'b'.repeat(32), 'running'])
      assert.deepEqual(
        [ended?.filesTotal, ended?.attempts, ended?.settings, ended?.startedMs],
        [7, 3, PLAIN_SETTINGS, undefined],
      )
      assert.deepEqual((await queries.inspect('a'.repeat(8))).history, [])
    } finally {
      await db.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
