/** One of everything that a store does in several steps, and what must be seen of each afterwards, wherever it was cut off. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Server } from '../../conformance/server.ts'
import { signRequest } from '../../src/kernel/index.ts'
import type { Answer, Client, Send } from './client.ts'
import { bytesOf } from './workload.ts'

const REPO = 'stream'
export const bucket = `master.${REPO}`

/** Sets of files that appear on the branch all at once: by an import, a merge and a transaction. */
const SETS = { imported: 300, merged: 40, set: 5 } as const
/** More than a commit that is open gathers before it is folded along. */
const FOLDED_ALONG = 11_000
const DELETED_AT_ONCE = 1_000
/** Of each of the files that go: together more than what stays, so that packs are worth rewriting. */
const GARBAGE_FILES = 12
const GARBAGE_BYTES = 900_000
const COLLECTIONS = 2
const BETWEEN_COLLECTIONS_MS = 150
const PART_BYTES = 70_000
const SECRET = 'secret/of-somebody'
const SLOWEST_MS = 30_000

/** Bytes that are in no other file. */
const secret = Buffer.concat([Buffer.from('what nobody may keep: '), bytesOf(4_711, 40_000)])

/** What the archive holds that is imported. */
export const importedFiles = Array.from({ length: SETS.imported }, (_, n) => ({
  name: `imported/${n}`,
  body: n % 10 === 0 ? bytesOf(n, 3_000) : `file ${n}`,
}))

/** Does all of it, one after the other, and keeps what was acknowledged. What is refused or not answered may have happened or not. */
export class Deeds {
  readonly #server: Server
  readonly #client: Client
  readonly #archive: Buffer
  readonly #backups: string
  readonly #done: Set<string>

  /** `archive`: a tar of `importedFiles`. `backups`: an empty folder outside of the store. `done`: what was acknowledged, for `checkDeeds`. */
  constructor(
    server: Server,
    client: Client,
    { archive, backups, done }: { archive: Buffer; backups: string; done: Set<string> },
  ) {
    this.#archive = archive
    this.#server = server
    this.#client = client
    this.#backups = backups
    this.#done = done
  }

  async all(): Promise<void> {
    const deeds: readonly (() => Promise<unknown>)[] = [
      () => this.#upload(),
      () => this.#garbage(),
      () => this.#import(),
      () => this.#merge(),
      () => this.#transaction(),
      () => this.#lines(),
      () => this.#backup(),
      () => this.#collect(),
      () => this.#purge(),
      () => this.#send('POST', `/${bucket}`, { query: 'flush=&timeout=10' }),
    ]
    for (const deed of deeds) if (!this.#server.ended) await deed()
  }

  async #upload(): Promise<void> {
    const begun = await this.#send('POST', `/${bucket}/upload`, { query: 'uploads=' })
    const id = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun?.body.toString() ?? '')?.[1] ?? '')
    const body = bytesOf(4_712, PART_BYTES)
    const part = await this.#send('PUT', `/${bucket}/upload`, { query: `partNumber=1&uploadId=${id}`, body })
    const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part?.headers.etag}</ETag></Part></CompleteMultipartUpload>`
    const ended = await this.#send('POST', `/${bucket}/upload`, { query: `uploadId=${id}`, body: Buffer.from(list) })
    if (ended?.body.includes('CompleteMultipartUploadResult')) this.#done.add('upload')
  }

  /** What nothing refers to any more, beside a little that is kept: the pack is worth rewriting. */
  async #garbage(): Promise<void> {
    await this.#send('PUT', `/${bucket}/kept`, { body: Buffer.alloc(5_000, 'kept') })
    if ((await this.#send('PUT', `/${bucket}/${SECRET}`, { body: secret }))?.status === 200) this.#done.add('secret')
    await this.#send('PUT', '/master.gone')
    const files = Array.from({ length: GARBAGE_FILES }, (_, n) =>
      this.#send('PUT', `/master.gone/${n}`, {
        body: Buffer.alloc(GARBAGE_BYTES, createHash('sha256').update(`${n}`).digest()),
      }),
    )
    await Promise.all(files)
    await this.#ask('DELETE', '/v1/repos/gone')
  }

  async #import(): Promise<void> {
    const path = `/v1/repos/${REPO}/branches/master/import`
    const answer = await request(this.#server, 'POST', path, { type: 'application/x-tar', bytes: this.#archive })
    if (answer?.includes('"kind":"imported"')) this.#done.add('imported')
  }

  async #merge(): Promise<void> {
    await this.#ask('POST', `/v1/repos/${REPO}/branches`, { name: 'side', from: 'master' })
    const files = Array.from({ length: SETS.merged }, (_, n) =>
      this.#send('PUT', `/side.${REPO}/merged/${n}`, { body: Buffer.from(`merged ${n}`) }),
    )
    const isWhole = (await Promise.all(files)).every((answer) => answer?.status === 200)
    // Half of them would be no fault.
    if (!isWhole) return
    const answer = await this.#ask('POST', `/v1/repos/${REPO}/branches/master/merge`, { from: 'side' })
    if (answer?.includes('"kind":"merged"')) this.#done.add('merged')
  }

  /** With more changes than are folded at its end. */
  async #transaction(): Promise<void> {
    const at = `tx-job.${bucket}`
    await this.#send('PUT', `/${at}`)
    for (let from = 0; from < FOLDED_ALONG && !this.#server.ended; from += DELETED_AT_ONCE) {
      const keys = Array.from({ length: DELETED_AT_ONCE }, (_, n) => `<Object><Key>old/${from + n}</Key></Object>`)
      await this.#send('POST', `/${at}`, {
        query: 'delete=',
        body: Buffer.from(`<Delete><Quiet>true</Quiet>${keys.join('')}</Delete>`),
        md5: true,
      })
    }
    const files = Array.from({ length: SETS.set }, (_, n) =>
      this.#send('PUT', `/${at}/set/${n}`, { body: Buffer.from(`set ${n}`) }),
    )
    const isWhole = (await Promise.all(files)).every((answer) => answer?.status === 200)
    if (!isWhole) return
    const ended = await this.#send('PUT', `/${at}/.sluice/commit`, { body: Buffer.from('') })
    if (ended?.status === 200) this.#done.add('set')
  }

  /** A branch that goes back and elsewhere, and leaves commits behind for good. */
  async #lines(): Promise<void> {
    const branch = `/v1/repos/${REPO}/branches/side`
    await this.#ask('POST', `${branch}/restore`, { to: 'side^' })
    await this.#send('PUT', `/side.${REPO}/left`, { body: bytesOf(4_713, 5_000) })
    await this.#send('POST', `/side.${REPO}`, { query: 'flush=&timeout=10' })
    await this.#ask('POST', `${branch}/move`, { to: 'side^^' })
  }

  async #backup(): Promise<void> {
    const answer = await this.#ask('POST', '/v1/backups', { to: this.#backups })
    if (answer?.includes('"kind":"done"')) this.#done.add('backup')
  }

  /** The changes of a repo go bit by bit, and what they refer to only then. */
  async #collect(): Promise<void> {
    for (let times = 0; times < COLLECTIONS && !this.#server.ended; times++) {
      await this.#ask('POST', '/v1/gc', { dryRun: false, graceSeconds: 0 })
      await sleep(BETWEEN_COLLECTIONS_MS)
    }
  }

  async #purge(): Promise<void> {
    if (!this.#done.has('secret')) return
    const answer = await this.#ask('POST', `/v1/repos/${REPO}/purges`, { path: SECRET, reason: 'it was asked for' })
    if (answer?.includes('"kind":"done"')) this.#done.add('purged')
  }

  #send(method: string, path: string, { md5, ...options }: Send & { md5?: boolean } = {}): Promise<Answer | undefined> {
    const { body } = options
    const headers =
      md5 && Buffer.isBuffer(body) ? { 'content-md5': createHash('md5').update(body).digest('base64') } : {}
    return this.#client.send(method, path, { ...options, headers }).catch(() => undefined)
  }

  #ask(method: string, path: string, body?: object): Promise<string | undefined> {
    return ask(this.#server, method, path, body)
  }
}

/** On the store that was opened again. Throws where half of something is there, or what was acknowledged is not. */
export async function checkDeeds(
  server: Server,
  client: Client,
  { backups, done }: { backups: string; done: ReadonlySet<string> },
): Promise<void> {
  for (const [folder, whole] of Object.entries(SETS)) {
    const { status, body } = await client.send('GET', `/${bucket}`, { query: `list-type=2&prefix=${folder}/` })
    const files = status === 404 ? 0 : body.toString().split('<Key>').length - 1
    assert.ok(files === whole || (files === 0 && !done.has(folder)), `${files} files of ${folder}, which has ${whole}`)
  }
  if (done.has('upload')) {
    const { body } = await client.send('GET', `/${bucket}/upload`)
    assert.ok(body.equals(bytesOf(4_712, PART_BYTES)), 'an upload that was completed is gone')
  }
  await checkPurge(server, client, done)
  await checkBackup(server, backups, done)
}

/** What was begun is gone on with by itself; in the end nothing of it is anywhere. */
async function checkPurge(server: Server, client: Client, done: ReadonlySet<string>): Promise<void> {
  const deadline = Date.now() + SLOWEST_MS
  let purges: { finished: string | null }[]
  do {
    purges = JSON.parse((await ask(server, 'GET', '/v1/purges')) ?? '[]') as { finished: string | null }[]
    if (purges.every(({ finished }) => finished !== null)) break
    await sleep(50)
  } while (Date.now() < deadline)
  assert.ok(
    purges.every(({ finished }) => finished !== null),
    'a purge that was cut off was not gone on with',
  )
  assert.ok(purges.length > 0 || !done.has('purged'), 'a purge is not recorded')
  const { status, body } = await client.send('GET', `/${bucket}/${SECRET}`)
  if (purges.length === 0) {
    if (!done.has('secret')) return
    assert.ok(body.equals(secret), 'a file that nobody purged is gone')
    assert.ok(
      await isInPacks(server.folder),
      'its bytes are not found where they are, so that to miss them proves nothing',
    )
    return
  }
  assert.equal(status, 404, 'what was purged can be read')
  assert.ok(!(await isInPacks(server.folder)), 'what was purged is in a pack')
}

async function isInPacks(folder: string): Promise<boolean> {
  const names = await readdir(join(folder, 'packs'), { recursive: true })
  for (const name of names.filter((path) => path.endsWith('.pack'))) {
    if ((await readFile(join(folder, 'packs', name))).includes(secret.subarray(0, 1_000))) return true
  }
  return false
}

/** What a backup says that it has, it has; and the next one goes on where it was cut off. */
async function checkBackup(server: Server, backups: string, done: ReadonlySet<string>): Promise<void> {
  const before = await ask(server, 'GET', `/v1/backups?to=${encodeURIComponent(backups)}`)
  if (done.has('backup')) assert.match(before ?? '', /"id":/, 'a backup that was made is gone')
  const made = await ask(server, 'POST', '/v1/backups', { to: backups })
  assert.match(made ?? '', /"kind":"done"/)
  const verified = await ask(server, 'POST', '/v1/backups/verify', { to: backups, all: true })
  assert.match(verified ?? '', /"faults":0/, verified)
}

/** A collection goes on where another was cut off, and ends. */
export async function collect(server: Server): Promise<void> {
  const answer = await ask(server, 'POST', '/v1/gc', { dryRun: false, graceSeconds: 0 })
  assert.match(answer ?? '', /"kind":"done"/)
}

/** Undefined if it did not come to an answer. */
function ask(server: Server, method: string, path: string, body?: object): Promise<string | undefined> {
  const sent = body && { type: 'application/json', bytes: Buffer.from(JSON.stringify(body)) }
  return request(server, method, path, sent)
}

async function request(
  server: Server,
  method: string,
  path: string,
  body?: { readonly type: string; readonly bytes: Buffer },
): Promise<string | undefined> {
  const url = `${server.apiUrl}${path}`
  const { host: _host, ...headers } = signRequest({
    method,
    url,
    headers: body ? { 'content-type': body.type } : {},
    bodySha256: createHash('sha256')
      .update(body?.bytes ?? '')
      .digest('hex'),
    ...server.credentials,
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
  })
  try {
    const reply = await fetch(url, { method, headers, ...(body ? { body: body.bytes } : {}) })
    return await reply.text()
  } catch {
    return undefined
  }
}
