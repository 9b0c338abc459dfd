import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openSqlite, readConfig, signRequest, silentLog, systemClock } from './kernel/index.ts'
import { type RunningServer, startServer } from './server.ts'
import { EMPTY_TREE } from './versioning/index.ts'

const rootKey = { accessKeyId: 'ROOTKEY', secretAccessKey: 'a secret that is long enough' }
/** Two commits begin with the same digits, and nothing with these. */
const AMBIGUOUS = 'abcdef01'
const UNKNOWN = '00000000'

describe('what can not be meant is refused at every door, and nothing is changed:', () => {
  let folder: string
  let server: RunningServer
  let unchanged: string

  const send = async (
    method: string,
    url: string,
    body: string | Buffer = '',
    headers: Record<string, string> = {},
  ): Promise<{ status: number; text: string }> => {
    // What is signed must be a URL that can be parsed; the raw one is what is sent.
    const { host: _host, ...signed } = signRequest({
      method,
      url: url.replaceAll(/%(ff|c3%28|ed%a0%80)/gi, 'x'),
      headers,
      bodySha256: hash('sha256', body, 'hex'),
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      ...rootKey,
    })
    const sent = method === 'GET' || method === 'HEAD' ? {} : { body: body as string | Uint8Array<ArrayBuffer> }
    const response = await fetch(url, { method, headers: signed, ...sent })
    return { status: response.status, text: await response.text() }
  }
  const s3 = (method: string, path: string, body?: string | Buffer, headers?: Record<string, string>) =>
    send(method, `${server.s3Url}${path}`, body, headers)
  const api = (method: string, path: string, body?: unknown) =>
    send(method, `${server.apiUrl}${path}`, body === undefined ? '' : JSON.stringify(body))
  const state = async () =>
    (await s3('GET', '/master.images?versions')).text + (await api('GET', '/v1/repos/images/branches')).text

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-bad-input-'))
    const data = join(folder, 'data')
    server = await startServer({
      config: readConfig(
        {
          SLUICE_DATA: data,
          SLUICE_S3_PORT: '0',
          SLUICE_API_PORT: '0',
          SLUICE_RUNNER: 'process',
          SLUICE_BATCH_IDLE_MS: '3600000',
          SLUICE_ACCESS_KEY_ID: rootKey.accessKeyId,
          SLUICE_SECRET_ACCESS_KEY: rootKey.secretAccessKey,
        },
        { cpus: 2, folder },
      ),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })
    await s3('PUT', '/master.images')
    await s3('PUT', '/master.images/a.txt', 'one')
    await api('POST', '/v1/repos/images/branches/master/finish', {})
    await api('POST', '/v1/secrets', { name: 's', ...rootKey })
    const db = await openSqlite({ file: join(data, 'meta.sqlite'), log: silentLog })
    await db.write(async (tx) => {
      for (const [ordinal, last] of ['1', '2'].entries()) {
        await tx.run(
          `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, root, folded_seq, from_seq, last_seq, started_ms,
             finished_ms, files, bytes, message)
           VALUES (?, 'images', 999, 'gone', ?, 'batch', 'finished', '${EMPTY_TREE}', 0, 0, 0, 1, 1, 0, 0, '')`,
          [AMBIGUOUS.padEnd(31, '0') + last, ordinal + 1],
        )
      }
    })
    await db.close()
    unchanged = await state()
  })
  after(async () => {
    await server?.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('names that are no UTF-8', async () => {
    const document = Buffer.concat([
      Buffer.from('<Delete><Object><Key>'),
      Buffer.from([0x61, 0xff]),
      Buffer.from('</Key></Object></Delete>'),
    ])
    const md5 = hash('md5', document, 'base64')
    for (const raw of ['%ff', '%c3%28', '%ed%a0%80']) {
      for (const [method, path, headers] of [
        ['PUT', `/master.images/${raw}`],
        ['GET', `/master.images/${raw}`],
        ['HEAD', `/master.images/a${raw}b`],
        ['DELETE', `/master.images/${raw}`],
        ['GET', `/master.images?list-type=2&prefix=${raw}`],
        ['GET', `/master.images?versions&key-marker=${raw}`],
        ['POST', `/master.images/${raw}?uploads`],
        ['PUT', `/${raw}.images`],
        ['PUT', '/master.images/copy', { 'x-amz-copy-source': `/master.images/${raw}` }],
      ] as const) {
        const { status, text } = await s3(method, path, '', headers)
        assert.equal(status, 400, `${method} ${path}: ${text}`)
      }
      for (const [method, path] of [
        ['GET', `/v1/repos/${raw}`],
        ['GET', `/v1/repos/images/commits/${raw}`],
        ['GET', `/v1/repos/images/commits/master/file?path=${raw}`],
        ['PUT', `/v1/repos/images/branches/master/file?path=${raw}`],
        ['DELETE', `/v1/repos/images/branches/master/file?path=${raw}`],
        ['GET', `/v1/repos/images/commits/master/files?prefix=${raw}`],
      ] as const) {
        const { status, text } = await api(method, path)
        assert.equal(status, 400, `${method} ${path}: ${text}`)
      }
    }
    assert.equal((await s3('POST', '/master.images?delete', document, { 'content-md5': md5 })).status, 400)
    const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff]), Buffer.from('"}')])
    assert.equal((await send('POST', `${server.apiUrl}/v1/repos`, body)).status, 400)
    // Half a surrogate pair is no character: there is no UTF-8 of it.
    const half = '{"from":"a.txt","to":"\\ud800"}'
    assert.equal((await send('POST', `${server.apiUrl}/v1/repos/images/branches/master/files/move`, half)).status, 400)
    assert.equal(await state(), unchanged)
  })

  for (const [what, revision, s3Status, apiStatus, code] of [
    ['a commit that is not known', UNKNOWN, 404, 404, 'CommitNotFound'],
    ['a prefix of several commits', AMBIGUOUS, 409, 409, 'AmbiguousCommit'],
  ] as const) {
    it(what, async () => {
      for (const method of ['GET', 'PUT'] as const) {
        const { status, text } = await s3(method, `/${revision}.images/a.txt`, 'x')
        assert.equal(status, s3Status, text)
      }
      assert.equal((await s3('GET', `/${revision}.images?list-type=2`)).status, s3Status)
      const branch = '/v1/repos/images/branches/master'
      for (const [method, path, body] of [
        ['GET', `/v1/repos/images/commits/${revision}`],
        ['GET', `/v1/repos/images/commits/${revision}^`],
        ['GET', `/v1/repos/images/commits/${revision}/files`],
        ['GET', `/v1/repos/images/commits/${revision}/content?path=a.txt`],
        ['GET', `/v1/repos/images/commits/${revision}/log?path=a.txt`],
        ['GET', `/v1/repos/images/commits/${revision}/provenance`],
        ['GET', `/v1/repos/images/commits/${revision}/subvenance`],
        ['GET', `/v1/repos/images/commits/${revision}/diff`],
        ['GET', `/v1/repos/images/commits/${revision}/diff/stat`],
        ['POST', `${branch}/restore`, { to: revision }],
        ['POST', `${branch}/merge`, { from: revision }],
        ['POST', `${branch}/revert`, { commit: revision }],
        ['POST', `${branch}/move`, { to: revision }],
        ['POST', '/v1/repos/images/branches', { name: 'new', from: revision }],
        ['POST', '/v1/repos/images/tags', { name: 'new', at: revision }],
        ['POST', `${branch}/files/copy`, { source: `images@${revision}`, from: 'a.txt', to: 'b.txt' }],
        ['POST', '/v1/egress', { commit: `images@${revision}`, egress: { URL: 's3://bucket/dir', secret: 's' } }],
        ['POST', '/v1/flush', { commits: [`images@${revision}`] }],
      ] as const) {
        const { status, text } = await api(method, path, body)
        assert.equal(status, apiStatus, `${method} ${path}: ${text}`)
        assert.match(text, new RegExp(`"code":"${code}"`), `${method} ${path}`)
      }
      assert.equal(await state(), unchanged)
    })
  }
})
