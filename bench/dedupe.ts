/** How much of a new version of an object is stored anew: what the packs of a server have grown by. A server of its own for each. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Server, startServer } from '../conformance/server.ts'
import { archives, edits, tables, type Versions } from '../src/versioning/content/testing/versions.ts'
import { type Client, createClient } from '../test/faults/client.ts'
import type { Row } from './report.ts'

const MIB = 1024 * 1024
const PART_BYTES = 8 * MIB
const PARTS_AT_ONCE = 4
const PATH = '/master.versions/object'

type Put = (client: Client, body: Buffer) => Promise<void>

async function expectOk(client: Client, method: string, query: string, body?: Buffer) {
  const answer = await client.send(method, PATH, { query, ...(body && { body }) })
  if (answer.status !== 200) throw new Error(`${method} ?${query}: ${answer.status} ${answer.body}`)
  return answer
}

const putWhole: Put = async (client, body) => {
  await expectOk(client, 'PUT', '', body)
}

const putParts: Put = async (client, body) => {
  const begun = (await expectOk(client, 'POST', 'uploads=')).body.toString()
  const upload = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun)?.[1] ?? '')
  const parts: string[] = []
  const numbers = Array.from({ length: Math.ceil(body.length / PART_BYTES) }, (_, index) => index).values()
  const sendParts = async () => {
    for (const index of numbers) {
      const bytes = body.subarray(index * PART_BYTES, (index + 1) * PART_BYTES)
      const { headers } = await expectOk(client, 'PUT', `partNumber=${index + 1}&uploadId=${upload}`, bytes)
      parts[index] = `<Part><PartNumber>${index + 1}</PartNumber><ETag>${headers.etag}</ETag></Part>`
    }
  }
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, sendParts))
  const list = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`
  await expectOk(client, 'POST', `uploadId=${upload}`, Buffer.from(list))
}

async function packBytes(server: Server): Promise<number> {
  const folder = join(server.folder, 'packs')
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.pack'))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What storing the second version took, as a share of it. */
async function storedAnew(base: string, before: Buffer, after: Buffer, put: Put): Promise<number> {
  const folder = join(base, 'dedupe')
  await mkdir(folder)
  const server = await startServer({ folder, environment: { SLUICE_LOG_LEVEL: 'warn' } })
  const client = createClient(server.s3Url, server.credentials, PARTS_AT_ONCE)
  try {
    const made = await client.send('PUT', '/master.versions')
    if (made.status !== 200) throw new Error(`the bucket: ${made.status} ${made.body}`)
    await put(client, before)
    const old = await packBytes(server)
    await put(client, after)
    return ((await packBytes(server)) - old) / after.length
  } finally {
    client.close()
    if (!server.ended) await server.kill()
    await rm(folder, { recursive: true })
  }
}

async function row(base: string, kind: string, { what, before, after }: Versions): Promise<Row> {
  const changed = after()
  const whole = await storedAnew(base, before, changed, putWhole)
  const parts = await storedAnew(base, before, changed, putParts)
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`
  return {
    what: `new version of ${kind} of ${Math.round(before.length / MIB)} MiB: ${what}`,
    figure: `one PUT stores ${percent(whole)} of it, parts of 8 MiB ${percent(parts)}`,
    perCore: '',
    limit: 'all of it: 100 %',
    share: whole.toFixed(3),
  }
}

export async function dedupeRows(base: string, quick: boolean): Promise<Row[]> {
  const bytes = (quick ? 64 : 256) * MIB
  const rows: Row[] = []
  if (!quick) {
    const [appended] = edits(1024 * MIB)
    if (appended) rows.push(await row(base, 'a body', appended))
  }
  for (const version of edits(bytes)) rows.push(await row(base, 'a body', version))
  for (const version of tables(bytes)) rows.push(await row(base, 'a CSV', version))
  for (const version of archives(bytes)) rows.push(await row(base, 'a tar', version))
  return rows
}
