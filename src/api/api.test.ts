import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import { after, before, describe, it } from 'node:test'
import type { BranchJson, CommitJson, DifferenceJson, FileJson, FilesJson, FlushJson, RepoJson } from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { codeOf, messageOf, send, sendExpecting, signed } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const { ask, commit, download, finish, lines, newBranch, put } = testApi(() => stack)

describe('health and version', () => {
  it('are there', async () => {
    assert.deepEqual(await ask('Health', '/healthz', { key: null }), { status: 'ok' })
    assert.deepEqual(await ask('Version', '/v1/version'), { version: '9.9.9', api: 'v1' })
    assert.equal((await send(stack.url, { method: 'HEAD', path: '/healthz', key: null })).status, 200)
  })
})

describe('repos and branches', () => {
  it('are created, listed, shown and deleted', async () => {
    await ask('Repo', '/v1/repos', post({ name: 'r1', description: 'the first' }))
    const repos = await ask<RepoJson[]>('Repo', '/v1/repos')
    assert.equal(repos.find((repo) => repo.name === 'r1')?.description, 'the first')
    await newBranch('r1')
    await ask('Branch', '/v1/repos/r1/branches', post({ name: 'dev.x' }))
    const names = (await ask<BranchJson[]>('Branch', '/v1/repos/r1/branches')).map((branch) => branch.name)
    assert.deepEqual(names.toSorted(), ['dev.x', 'master'])
    assert.equal((await ask<BranchJson>('Branch', '/v1/repos/r1/branches/dev.x')).head, null)
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/repos/r1/branches/dev.x' })).status, 204)
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/repos/r1' })).status, 204)
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/r1' })), 'RepoNotFound')
  })

  it('start at any commit', async () => {
    await newBranch('r2')
    const first = await commit('r2', { a: '1' })
    await commit('r2', { a: '2' })
    const branch = await ask<BranchJson>('Branch', '/v1/repos/r2/branches', post({ name: 'old', from: 'master^' }))
    assert.equal(branch.head, first.id)
  })

  it('with names that are not allowed are refused with what is', async () => {
    for (const name of ['Images', 'word_count', '-a', 'a'.repeat(64)]) {
      const reply = await send(stack.url, { path: '/v1/repos', ...post({ name }) })
      assert.equal(reply.status, 400)
      assert.equal(codeOf(reply), 'InvalidName', name)
    }
  })
})

describe('files', () => {
  it('come back byte for byte, small and large, with their ETag', async () => {
    await newBranch('f1')
    const contents = [Buffer.alloc(0), Buffer.from('small'), randomBytes(600), randomBytes(3 * 1024 ** 2 + 7)]
    for (const [index, content] of contents.entries()) {
      const written = await put('f1', `d/${index} ü+&%.bin`, content)
      assert.equal(written.etag, createHash('md5').update(content).digest('hex'))
      assert.equal(written.sizeBytes, content.length)
    }
    await finish('f1')
    for (const [index, content] of contents.entries()) {
      const path = encodeURIComponent(`d/${index} ü+&%.bin`)
      const { body, headers } = await download(`/v1/repos/f1/commits/master/content?path=${path}`)
      assert.ok(body.equals(content), String(index))
      assert.equal(headers['content-length'], String(content.length))
      assert.equal(headers['content-type'], 'application/octet-stream')
      assert.equal(headers['x-content-type-options'], 'nosniff')
    }
  })

  it('are not there unless all that was signed arrived', async () => {
    await newBranch('f2')
    const path = '/v1/repos/f2/branches/master/file?path=x'
    for (const body of ['short', randomBytes(2 * 1024 ** 2)]) {
      const reply = await send(stack.url, { method: 'PUT', path, body, bodySha256: '0'.repeat(64) })
      assert.equal(codeOf(reply), 'BodyMismatch')
    }
    await cutOff(path, 2 * 1024 ** 2)
    await put('f2', 'y', '1')
    await finish('f2')
    const { files } = await ask<FilesJson>('Files', '/v1/repos/f2/commits/master/files')
    assert.deepEqual(
      files.map((file) => file.path),
      ['y'],
    )
  })

  it('keep their type, and unsigned content is taken', async () => {
    await newBranch('f3')
    await put('f3', 'a.csv', 'a,b', { headers: { 'content-type': 'text/csv' }, bodySha256: 'UNSIGNED-PAYLOAD' })
    await finish('f3')
    const file = await ask<FileJson>('File', '/v1/repos/f3/commits/master/file?path=a.csv')
    assert.equal(file.contentType, 'text/csv')
  })

  it('are listed by folders with their sizes, page by page', async () => {
    await newBranch('f4')
    await commit('f4', { 'a/1': 'xx', 'a/2': 'yyy', b: 'z', 'c/d/e': '1' })
    const page = await ask<FilesJson>('Files', '/v1/repos/f4/commits/master/files?delimiter=%2F&limit=2')
    assert.deepEqual(page.directories, [{ path: 'a/', files: 2, sizeBytes: 5 }])
    assert.deepEqual(
      page.files.map((file) => file.path),
      ['b'],
    )
    const rest = `/v1/repos/f4/commits/${page.commit}/files?delimiter=%2F&after=${encodeURIComponent(page.next ?? '')}`
    const next = await ask<FilesJson>('Files', rest)
    assert.deepEqual(
      next.directories.map((folder) => folder.path),
      ['c/'],
    )
    assert.equal(next.next, null)
  })

  it('are deleted by a new commit, and the old one keeps them', async () => {
    await newBranch('f5')
    const old = await commit('f5', { a: '1', b: '2' })
    const path = '/v1/repos/f5/branches/master/file?path=a'
    assert.deepEqual((await ask<{ existed: boolean }>('Deleted', path, { method: 'DELETE' })).existed, true)
    await finish('f5')
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/f5/commits/master/file?path=a' })), 'PathNotFound')
    await ask('File', `/v1/repos/f5/commits/${old.id}/file?path=a`)
  })

  it('can not be written into the control folder', async () => {
    await newBranch('f6')
    const path = '/v1/repos/f6/branches/master/file?path=.sluice%2Fcommit'
    const reply = await send(stack.url, { method: 'PUT', path, body: 'x' })
    assert.equal(reply.status, 403)
    assert.equal(codeOf(reply), 'ReadOnly')
  })

  it('of more than 5 GiB are refused before the first byte is sent', async () => {
    await newBranch('f7')
    const path = '/v1/repos/f7/branches/master/file?path=x'
    const reply = await sendExpecting(stack.url, { method: 'PUT', path, bodySha256: 'UNSIGNED-PAYLOAD' })
    assert.deepEqual(reply, { continued: false, status: 413 })
  })
})

describe('commits', () => {
  it('are started with a message, finished, listed newest first and shown', async () => {
    await newBranch('c1')
    const started = await ask<CommitJson>('Commit', '/v1/repos/c1/branches/master/start', post({ message: 'mine' }))
    await put('c1', 'a', '1')
    const first = await finish('c1')
    assert.equal(first.id, started.id)
    assert.equal(first.message, 'mine')
    assert.deepEqual(first.authors, ['root'])
    const second = await commit('c1', { a: '2' })
    const list = await ask<CommitJson[]>('Commit', '/v1/repos/c1/commits')
    assert.deepEqual(
      list.map((item) => item.id),
      [second.id, first.id],
    )
    assert.deepEqual(second.parents, [first.id])
    const older = await ask<CommitJson[]>('Commit', `/v1/repos/c1/commits?before=${second.id}&limit=1`)
    assert.deepEqual(
      older.map((item) => item.id),
      [first.id],
    )
    assert.equal((await ask<CommitJson>('Commit', '/v1/repos/c1/commits/master%5E')).id, first.id)
    assert.equal((await ask<CommitJson>('Commit', `/v1/repos/c1/commits/${first.id.slice(0, 8)}`)).id, first.id)
  })

  it('of a repo that is not there are not found', async () => {
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/none/commits' })), 'RepoNotFound')
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/none/branches' })), 'RepoNotFound')
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/none/commits/master' })), 'RepoNotFound')
  })

  it('differ from their parent, from each other, and from what was written a moment ago', async () => {
    await newBranch('c2')
    const first = await commit('c2', { a: '1', b: '1' })
    const initial = await lines<DifferenceJson>('Difference', `/v1/repos/c2/commits/${first.id}/diff`)
    assert.deepEqual(
      initial.map(({ kind, path }) => [kind, path]),
      [
        ['added', 'a'],
        ['added', 'b'],
      ],
    )
    await put('c2', 'a', '22')
    await put('c2', 'c', '3')
    await send(stack.url, { method: 'DELETE', path: '/v1/repos/c2/branches/master/file?path=b' })
    const path = '/v1/repos/c2/commits/master/diff?from=c2%40master%5E'
    const changes = await lines<DifferenceJson>('Difference', path)
    assert.deepEqual(
      changes.map(({ kind, path, before, after }) => [kind, path, before?.sizeBytes, after?.sizeBytes]),
      [
        ['changed', 'a', 1, 2],
        ['deleted', 'b', 1, undefined],
        ['added', 'c', undefined, 1],
      ],
    )
  })

  it('are restored, counted from what was written a moment ago', async () => {
    await newBranch('c3')
    await commit('c3', { a: 'good' })
    await put('c3', 'a', 'bad')
    await ask('Commit', '/v1/repos/c3/branches/master/restore', post({ to: 'master^' }))
    const { body } = await download('/v1/repos/c3/commits/master/content?path=a')
    assert.equal(body.toString(), 'good')
    assert.equal((await ask<CommitJson[]>('Commit', '/v1/repos/c3/commits')).length, 3)
  })

  it('flush at once when nothing follows from them', async () => {
    await newBranch('c4')
    await put('c4', 'a', '1')
    const events = await lines<FlushJson>('Flush', '/v1/flush', post({ commits: ['c4@master'] }))
    assert.deepEqual(
      events.map((event) => event.kind),
      ['waiting', 'verdict'],
    )
    assert.ok(events[1]?.kind === 'verdict' && events[1].ok)
  })

  it('that do not exist can not be flushed, and the message says what can', async () => {
    await newBranch('c5')
    for (const [address, pattern] of [
      ['c5@master', /no commit yet/],
      ['c5', /repo@branch/],
      ['none@master', /none/],
    ] as const) {
      const reply = await send(stack.url, { path: '/v1/flush', ...post({ commits: [address] }) })
      assert.ok(reply.status === 404 || reply.status === 400, reply.text)
      assert.match(messageOf(reply), pattern)
    }
  })
})

/** Promises so many bytes, sends half of them and hangs up. */
function cutOff(path: string, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const headers = signed(stack.url, { method: 'PUT', path, bodySha256: 'UNSIGNED-PAYLOAD' })
    const request = http.request(`${stack.url}${path}`, {
      method: 'PUT',
      headers: { ...headers, 'content-length': String(bytes) },
      agent: false,
    })
    // The hang-up is meant.
    request.on('error', () => {})
    request.on('close', resolve)
    request.write(randomBytes(bytes / 2), () => request.destroy())
  })
}
