import assert from 'node:assert/strict'
import http from 'node:http'
import type { BranchJson, CommitJson, WrittenJson } from '../contract.ts'
import type { ShapeName } from '../shapes.ts'
import { faultsOf } from './conforms.ts'
import { type Ask, send, signed } from './requests.ts'
import type { Stack } from './stack.ts'

/** Of a request with JSON. */
export const post = (body: unknown): Partial<Ask> => ({ method: 'POST', body: JSON.stringify(body) })

/** What tests ask of a server, which may be started later: every answer is held against the shape that the OpenAPI document has. */
export function testApi(stack: () => Pick<Stack, 'url'>) {
  async function ask<T>(shape: ShapeName, path: string, more: Partial<Ask> = {}): Promise<T> {
    const reply = await send(stack().url, { path, ...more })
    assert.ok(reply.status < 300, `${path}: ${reply.status} ${reply.text}`)
    const value = JSON.parse(reply.text) as unknown
    for (const item of [value].flat()) assert.deepEqual(faultsOf(shape, item), [], path)
    return value as T
  }

  async function lines<T>(shape: ShapeName, path: string, more: Partial<Ask> = {}): Promise<T[]> {
    const reply = await send(stack().url, { path, ...more })
    assert.equal(reply.status, 200, reply.text)
    const items = reply.text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T)
    for (const item of items) assert.deepEqual(faultsOf(shape, item), [], path)
    return items
  }

  const newBranch = (repo: string) => ask<BranchJson>('Branch', `/v1/repos/${repo}/branches`, post({ name: 'master' }))
  const put = (repo: string, path: string, body: string | Buffer, more: Partial<Ask> = {}) =>
    ask<WrittenJson>('Written', `/v1/repos/${repo}/branches/master/file?path=${encodeURIComponent(path)}`, {
      method: 'PUT',
      body,
      ...more,
    })
  const finish = (repo: string) => ask<CommitJson>('Commit', `/v1/repos/${repo}/branches/master/finish`, post({}))

  /** A commit of these files. */
  async function commit(repo: string, files: Readonly<Record<string, string>>): Promise<CommitJson> {
    for (const [path, text] of Object.entries(files)) await put(repo, path, text)
    return finish(repo)
  }

  function download(path: string): Promise<{ body: Buffer; headers: http.IncomingHttpHeaders }> {
    return new Promise((resolve, reject) => {
      const { url } = stack()
      const request = http.get(`${url}${path}`, { headers: signed(url, { path }), agent: false })
      request.on('error', reject)
      request.on('response', async (response) => {
        const pieces: Buffer[] = []
        for await (const piece of response) pieces.push(piece as Buffer)
        resolve({ body: Buffer.concat(pieces), headers: response.headers })
      })
    })
  }

  return { ask, commit, download, finish, lines, newBranch, put }
}
