import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { EgressJson, JobJson } from '../src/api/contract.ts'
import { type Outcome, runWords } from '../src/cli/testing/cli.ts'
import { startTestServer, type TestServer, testKey } from '../src/gateway/testing/server.ts'
import { readConfig, silentLog, systemClock } from '../src/kernel/index.ts'
import { type RunningServer, startServer } from '../src/server.ts'

/** A whole server, its command line, and a second server that it pushes to. */
describe('egress from the command line', { timeout: 120_000 }, () => {
  let base: string
  let folder: string
  let server: RunningServer
  let target: TestServer
  let host: string

  const start = () =>
    startServer({
      config: readConfig(
        {
          SLUICE_DATA: folder,
          SLUICE_S3_PORT: '0',
          SLUICE_API_PORT: '0',
          SLUICE_BATCH_IDLE_MS: '3600000',
          SLUICE_ALLOW_TARGETS: '127.0.0.1:*',
        },
        { cpus: 2, folder: base },
      ),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-egress-life-'))
    folder = join(base, 'data')
    await mkdir(folder)
    target = await startTestServer()
    host = `127.0.0.1:${target.port}`
    await target.send('PUT', '/master.target')
    server = await start()
  })
  after(async () => {
    await server?.close()
    await target?.close()
    await rm(base, { recursive: true, force: true })
  })

  const run = (words: string, input?: string): Promise<Outcome> =>
    runWords(words.split(' '), {
      folder: base,
      env: { HOME: base, SLUICE_DATA: folder },
      ...(input === undefined ? {} : { input }),
    })
  const ok = async (words: string, input?: string): Promise<string> => {
    const { code, out, err } = await run(words, input)
    assert.equal(code, 0, `sluice ${words}: ${err}`)
    return out
  }
  const json = async <T>(words: string): Promise<T> => JSON.parse(await ok(`${words} --json`)) as T
  const textAt = async (key: string): Promise<string | undefined> => {
    const reply = await target.send('GET', `/master.target/${key}`)
    const text = await reply.text()
    return reply.status === 200 ? text : undefined
  }
  const lastJob = async (pipeline: string): Promise<JobJson> => {
    const [job] = await json<JobJson[]>(`job list --pipeline ${pipeline}`)
    assert.ok(job)
    return job
  }
  /** Makes the pipeline, and has it run on what is in `images`. */
  const pipeline = async (name: string, url: string, secret: string): Promise<JobJson> => {
    const spec = {
      pipeline: { name },
      input: { pfs: { repo: 'images', glob: '/*' } },
      transform: { cmd: ['sh'], stdin: ['cp /pfs/images/* /pfs/out/'] },
      egress: { URL: url, secret },
    }
    await ok('pipeline create -f -', JSON.stringify(spec))
    await run(`flush images@master`)
    return lastJob(name)
  }

  it('has a job fail that may not write, and go on when its secret is put right and its egress retried', async () => {
    await ok('repo create images')
    await ok('file put images@master:a.txt', 'hello')
    await ok('flush images@master')
    await ok('secret create wrong --access-key SLUICETESTKEY --secret-key -', 'not the secret key')
    const job = await pipeline('edges', `s3://${host}/master.target/edges`, 'wrong')
    assert.equal(job.state, 'failure')
    const shown = await run(`job inspect ${job.id}`)
    assert.equal(shown.code, 1)
    assert.match(
      shown.out,
      /a\.txt could not be pushed to s3:.*; when that is put right: sluice egress retry [0-9a-f]{32}/,
    )
    const inspected = await run(`egress inspect ${job.id.slice(0, 12)}`)
    assert.equal(inspected.code, 1)
    assert.match(inspected.out, new RegExp(`Asked by: +job ${job.id}`))
    assert.match(inspected.out, /Try 1: +failed, began /)
    assert.match((await run(`flush images@master`)).err, /edges@[0-9a-f]+ failed/)

    await ok('secret update wrong --access-key SLUICETESTKEY --secret-key -', testKey.secretAccessKey)
    const again = await run(`egress retry ${job.id}`)
    assert.equal(again.code, 0, again.err)
    assert.match(again.out, /^edges@[0-9a-f]{32} is at s3:.*1 of 1 file\(s\)/)
    assert.equal((await lastJob('edges')).state, 'success')
    await ok('flush images@master')
    assert.equal(await ok('file get edges@master:a.txt'), 'hello')
    assert.equal(await textAt('edges/a.txt'), 'hello')
    const [listed] = await json<EgressJson[]>('egress list --repo edges')
    assert.deepEqual([listed?.id, listed?.state, listed?.attempts, listed?.job], [job.id, 'success', 2, job.id])
    assert.match((await run(`egress retry ${job.id}`)).err, /is not retried: it has not failed/)
  })

  it('fails a job whose egress is cancelled, which can be retried all the same', async () => {
    // Tried for a while, since nobody listens there.
    const spec = { url: 's3://127.0.0.1:9/bucket/edges', secret: 'wrong' }
    const flushed = pipeline('slow', spec.url, spec.secret)
    let job: JobJson | undefined
    while (job?.state !== 'egressing') [job] = await json<JobJson[]>('job list --pipeline slow')
    await ok(`egress cancel ${job.id}`)
    const ended = await flushed
    assert.deepEqual([ended.id, ended.state], [job.id, 'failure'])
    assert.match(ended.reason ?? '', /failed: cancelled/)
    assert.equal((await json<EgressJson>(`egress retry ${job.id} --detach`)).state === 'failed', false)
    await ok(`job kill ${job.id}`)
    assert.equal((await json<EgressJson[]>('egress list --repo slow'))[0]?.reason, 'cancelled')
    await ok('pipeline delete slow')
  })

  it('pushes any commit by hand, waited for or not, and lists it', async () => {
    await ok('secret create good --access-key SLUICETESTKEY --secret-key -', testKey.secretAccessKey)
    const url = `s3://${host}/master.target/by-hand`
    const waited = await run(`egress run images@master ${url} --secret good --success`)
    assert.equal(waited.code, 0, waited.err)
    assert.match(waited.err, /egress [0-9a-f]{32}: images@[0-9a-f]{12} to s3:/)
    assert.equal(await textAt('by-hand/a.txt'), 'hello')
    assert.equal(await textAt('by-hand/_SUCCESS'), '')
    const id = (await ok(`egress run images@master ${url} --secret good --detach`)).trim()
    assert.match(id, /^[0-9a-f]{32}$/)
    const end = await json<EgressJson>(`egress inspect ${id} --wait`)
    assert.deepEqual([end.state, end.askedBy, end.settings.success, end.history?.length], ['success', 'root', false, 1])
    assert.match(await ok('egress list'), /images@[0-9a-f]{12} .*by-hand/)
  })

  it('says what to do about a bucket that is missing, a target that is closed and one that nobody listens at', async () => {
    const missing = await run(`egress run images@master s3://${host}/master.missing --secret good`)
    assert.equal(missing.code, 1)
    assert.match(missing.err, /has no bucket master\.missing; create it first.*sluice egress retry/)
    const closed = await run(`egress run images@master s3://169.254.169.254:80/x --secret good`)
    assert.equal(closed.code, 1)
    assert.match(closed.err, /SLUICE_ALLOW_TARGETS/)
    const none = await run(`egress run images@master s3://${host}/master.target --secret nothing`)
    assert.match(none.err, /there is no secret "nothing": sluice secret create nothing/)
    const failed = await json<EgressJson[]>('egress list --repo images --state failed')
    assert.deepEqual(
      failed.map(({ url }) => url),
      [`s3://${host}/master.missing`],
    )
  })

  it('goes on after a restart, and can be cancelled', async () => {
    const id = (await ok(`egress run images@master s3://${host}/master.target/later --secret good --detach`)).trim()
    await server.close()
    server = await start()
    assert.equal((await json<EgressJson>(`egress inspect ${id} --wait`)).state, 'success')
    // Something that is never reached: it is tried for a while.
    const gone = (await ok('egress run images@master s3://127.0.0.1:9/bucket --secret good --detach')).trim()
    await ok(`egress cancel ${gone}`)
    const { state, reason } = JSON.parse((await run(`egress inspect ${gone} --wait --json`)).out) as EgressJson
    assert.deepEqual([state, reason], ['failed', 'cancelled'])
  })
})
