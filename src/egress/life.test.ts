import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { MIB, migrate, openSqlite, silentLog } from '../kernel/index.ts'
import { parsePath, parseRepoName } from '../versioning/index.ts'
import { branchOf, putText, sealCommit } from '../versioning/testing/store.ts'
import { egressMigrations } from './index.ts'
import { MAX_PUSH_ATTEMPTS, MAX_WAITING_BY_HAND } from './limits.ts'
import { claimPush, endPush, StalePush } from './pushes.ts'
import { EgressQueries } from './queries.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { Harness, signalled } from './testing/harness.ts'

let open: Harness | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})
const harness = async (...options: Parameters<typeof Harness.open>) => {
  open = await Harness.open(...options)
  return open
}

const ada = { canonicalId: 'a'.repeat(64), name: 'ada' }
const target = { URL: 's3://bucket/dir', secret: 'target' }

/** Resolves once the row says so, whatever the process that pushes knows of it. */
async function succeeded(h: Harness, id: string): Promise<void> {
  for (;;) {
    const row = await h.db.get<{ state: string }>('SELECT state FROM egress_push WHERE id = ?', [id])
    if (row?.state === 'success') return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function commit(h: Harness, repo: string, files: Record<string, string>): Promise<string> {
  const at = branchOf(`${repo}@master`)
  await h.versioning.createBranch(at)
  for (const [path, text] of Object.entries(files)) await putText(h.versioning, at, path, text)
  return (await sealCommit(h.versioning, at)).id
}

const run = async (h: Harness, source: string, egress: object = target) => {
  const [repo, revision] = source.split('@')
  return (await h.egress.run({ repo: parseRepoName(repo!), revision: revision!, egress, askedBy: ada })).egress
}

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
      open = undefined
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
    assert.match((await h.ended(taken.id)).reason ?? '', /was pushed by/)
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
