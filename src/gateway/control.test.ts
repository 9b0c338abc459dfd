import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import { parsePath } from '../versioning/index.ts'
import { branchOf } from '../versioning/testing/store.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

const images = branchOf('images@master')
const edges = branchOf('edges@master')
const job = 'a'.repeat(32)
const datum = 'b'.repeat(64)

type Json = Record<string, unknown>

describe('what follows from a commit, on the S3 endpoint', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer({
      pipelines: {
        getDatum: async (ofJob, id) => {
          if (ofJob !== job || id !== datum) throw Object.assign(new Error('no such datum'), { code: 'DatumNotFound' })
          return { inputs: ['images@c:/a.png'] } as never
        },
      },
    })
    await server.send('PUT', '/master.images')
    await server.store.db.write((tx) =>
      server.store.versioning.derived.define(tx, { output: edges, pipeline: 'edges', inputs: [images] }),
    )
  })
  after(() => server.close())

  const text = async (method: string, path: string, status = 200) => {
    const reply = await server.send(method, path)
    const body = await reply.text()
    assert.equal(reply.status, status, body)
    return body
  }
  const json = async (path: string) => JSON.parse(await text('GET', path)) as Json
  const lines = (body: string) =>
    body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Json & { kind: string })
  /** PUTs one image and seals it. */
  const commitImage = async (key: string, content: string) => {
    await text('PUT', `/master.images/${key}`)
    const { versioning } = server.store
    await server.send('PUT', `/master.images/${key}`, { body: content })
    return (await versioning.waitForCommit((await versioning.seal(images))!.commit)).id
  }
  /** What the engine does when a job has run: one file of one datum. */
  const finishOutput = async (content: string) => {
    const { versioning, db, folder } = server.store
    const [open] = await versioning.derived.listOpen()
    const diskPath = join(folder, 'output')
    await writeFile(diskPath, content)
    const stored = await versioning.derived.storeOutput([{ path: parsePath('a.png'), diskPath }], { job, datum })
    await db.write((tx) => versioning.derived.finish(tx, open!.commit, stored.root))
    return open!.commit
  }

  it('is waited for by ?flush=, which says first what it waits for and last how it went', async () => {
    const input = await commitImage('a.png', 'one')
    assert.equal((await server.send('GET', `/${input}.edges/a.png`)).status, 503)
    const flushing = server.send('POST', `/master.images?flush=${input}&timeout=20`)
    const output = await finishOutput('edges of one')
    const events = lines(await (await flushing).text())
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['waiting', 'ended', 'verdict'],
    )
    assert.deepEqual(events[0]?.['flushed'], [{ repo: 'images', commit: input }])
    assert.deepEqual(events[2], {
      kind: 'verdict',
      ok: true,
      branches: [{ repo: 'edges', branch: 'master', commit: output, verdict: 'finished' }],
    })
    const again = lines(await text('GET', '/master.images?flush='))
    assert.equal(again.at(-1)?.['ok'], true)
  })

  it('is read by the branch, by its own commit and by the commit it was made from', async () => {
    const { versioning } = server.store
    const output = (await versioning.getBranch(edges)).head!
    const input = (await versioning.provenance(output))[0]!.commit
    for (const bucket of ['master.edges', 'edges', `${output}.edges`, `${input}.edges`, `${input.slice(0, 8)}.edges`]) {
      const reply = await server.send('GET', `/${bucket}/a.png`)
      assert.equal(await reply.text(), 'edges of one', bucket)
      assert.equal(reply.headers.get('x-sluice-commit'), output)
    }
  })

  it('says what it was made from, by what and where, also as metadata', async () => {
    const { versioning } = server.store
    const output = (await versioning.getBranch(edges)).head!
    const input = (await versioning.provenance(output))[0]!.commit
    const reply = await server.send('HEAD', '/master.edges/a.png')
    assert.equal(reply.headers.get('x-sluice-pipeline'), 'edges')
    assert.equal(reply.headers.get('x-sluice-commit-state'), 'finished')
    assert.equal(reply.headers.get('x-sluice-provenance'), `images@${input}`)
    const head = await server.s3.send(new HeadObjectCommand({ Bucket: 'master.edges', Key: 'a.png' }))
    assert.deepEqual(head.Metadata, {
      'sluice-provenance': `images@${input}`,
      'sluice-pipeline': 'edges',
      'sluice-job': job,
      'sluice-datum': datum,
    })
  })

  it('is not written by anybody else, and says why', async () => {
    for (const body of ['small', Buffer.alloc(2 * 1024 * 1024)]) {
      const reply = await server.send('PUT', '/master.edges/b.png', { body })
      assert.equal(reply.status, 403)
      assert.match(await reply.text(), /output of pipeline edges/)
    }
    // A large body is not even asked for.
    const raw = await openRaw(server.port)
    const headers = { 'content-length': String(2 * 1024 * 1024), expect: '100-continue' }
    raw.write(rawHead('PUT', '/master.edges/b.png', server.sign('PUT', '/master.edges/b.png', { headers })))
    assert.equal((await raw.reply())?.status, 403)
    raw.close()
    assert.equal((await server.send('DELETE', '/master.edges/a.png')).status, 403)
    assert.equal((await server.send('POST', '/master.edges/b?uploads=')).status, 403)
    assert.equal((await server.send('DELETE', '/master.edges')).status, 409)
  })

  it('ends a flush at its time limit, and when it fails', async () => {
    const input = await commitImage('b.png', 'two')
    const events = lines(await text('POST', '/master.images?flush=&timeout=50ms'))
    assert.deepEqual([events.at(-1)?.['ok'], events.at(-1)?.kind], [false, 'verdict'])
    const waiting = server.send('GET', '/master.images/.sluice/flush.json')
    const { versioning, db } = server.store
    const [open] = await versioning.derived.listOpen()
    await db.write((tx) => versioning.derived.fail(tx, open!.commit, { kind: 'failed', reason: 'no edges here' }))
    const verdict = (await (await waiting).json()) as Json
    assert.equal(verdict['ok'], false)
    assert.match(JSON.stringify(verdict['branches']), /no edges here/)
    const failed = await server.send('GET', `/${input}.edges/a.png`)
    assert.equal(failed.status, 409)
    assert.match(await failed.text(), /no edges here/)
    assert.equal((await server.send('GET', '/master.edges/a.png')).status, 200)
  })

  it('refuses a flush of nothing that is there, and ends at once where nothing follows', async () => {
    await text('POST', '/master.none?flush=', 404)
    await text('POST', '/master.images?flush=00000000', 404)
    await text('POST', '/master.images?flush=&timeout=soon', 400)
    await text('PUT', '/master.empty')
    assert.deepEqual(
      lines(await text('POST', '/master.empty?flush=')).map(({ kind }) => kind),
      ['waiting', 'verdict'],
    )
    assert.equal((await json('/master.empty/.sluice/flush.json'))['ok'], true)
    await text('GET', '/master.empty/.sluice/commit.json', 404)
  })

  it('is told in documents that any tool can HEAD and GET, and that are never listed', async () => {
    const commit = await json('/master.images/.sluice/commit.json')
    assert.equal(commit['repo'], 'images')
    assert.equal(commit['state'], 'finished')
    const log = (await json('/master.images/.sluice/log.json')) as unknown as Json[]
    assert.deepEqual(log[0]?.['id'], commit['id'])
    assert.ok(log.length >= 2)
    const older = log.at(-1)?.['id']
    assert.equal(((await json(`/${older}.images/.sluice/log.json`)) as unknown as Json[]).length, 1)
    const provenance = await json('/master.edges/.sluice/provenance.json')
    assert.match(JSON.stringify(provenance['provenance']), /"repo":"images"/)
    const file = await json('/master.edges/.sluice/provenance/a.png')
    assert.deepEqual(
      [file['job'], file['datum'], file['pipeline'], file['inputs']],
      [job, datum, 'edges', ['images@c:/a.png']],
    )
    const diff = await json('/master.images/.sluice/diff.json')
    assert.match(JSON.stringify(diff['differences']), /"kind":"added","path":"b.png"/)
    await text('GET', '/master.images/.sluice/other.json', 404)
    await text('GET', '/master.images/.sluice/provenance/none', 404)
    await text('GET', '/master.images/.sluice/commit.json?torrent=', 501)
    assert.doesNotMatch(await text('GET', '/master.images'), /sluice\//)
  })

  it('tells of a transaction what it holds, against what it was opened on', async () => {
    await text('PUT', '/tx-look.master.images')
    await text('PUT', '/tx-look.master.images/only-here.png', 200)
    const diff = await json('/tx-look.master.images/.sluice/diff.json')
    const head = await json('/master.images/.sluice/commit.json')
    assert.deepEqual([diff['before'], diff['truncated']], [head['id'], false])
    assert.match(JSON.stringify(diff['differences']), /^\[{"kind":"added","path":"only-here.png",[^[]*\]$/)
    const log = (await json('/tx-look.master.images/.sluice/log.json')) as unknown as Json[]
    assert.deepEqual([log[0]?.['state'], log[1]?.['id']], ['open', head['id']])
    await text('DELETE', '/tx-look.master.images', 204)
  })

  it('is the same document for HEAD and GET of flush.json, with ranges and conditions', async () => {
    const head = await server.send('HEAD', '/master.images/.sluice/flush.json')
    const get = await server.send('GET', '/master.images/.sluice/flush.json', {
      headers: { 'if-match': head.headers.get('etag')! },
    })
    const body = await get.text()
    assert.equal(get.headers.get('etag'), head.headers.get('etag'))
    assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(body)))
    const part = await server.send('GET', '/master.images/.sluice/flush.json', { headers: { range: 'bytes=0-4' } })
    assert.deepEqual([part.status, await part.text()], [206, body.slice(0, 5)])
  })

  it('is let go of when the client leaves or the server stops', async () => {
    await commitImage('c.png', 'three')
    const leaving = new AbortController()
    const headers = server.sign('POST', '/master.images?flush=')
    const { host: _host, ...rest } = headers
    const reply = await fetch(`${server.origin}/master.images?flush=`, {
      method: 'POST',
      headers: rest,
      signal: leaving.signal,
    })
    const reader = reply.body!.getReader()
    assert.match(Buffer.from((await reader.read()).value!).toString(), /"kind":"waiting"/)
    leaving.abort()
    // Closing the server (after) does not wait for this one, nor for the first: it would hang here.
    const second = server.send('GET', '/master.images?flush=')
    assert.equal((await second).status, 200)
  })
})
