/**
 * Egress beside rclone: the same files to the same server, a second Sluice in a process of its own. rclone copies them from a local
 * folder; egress pushes a commit, planning and ledger included. Each in turns, the best of its rounds counts.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../conformance/server.ts'
import { missingTool, runProgram } from '../conformance/support.ts'
import type { EgressJson } from '../src/api/contract.ts'
import { signRequest } from '../src/kernel/index.ts'
import { cpuSeconds } from './measure.ts'
import type { Row } from './report.ts'

const MIB = 1024 * 1024
const ROUNDS = 2
/** rclone's own, and those that other stores are told to be copied to with. */
const TRANSFERS = [4, 16, 32]
const RCLONE_TIMEOUT_MS = 10 * 60_000

interface Case {
  readonly name: string
  readonly what: string
  readonly files: number
  readonly bytes: number
}

interface Took {
  readonly seconds: number
  readonly cpuSeconds: number
}

const cases = (quick: boolean): readonly Case[] => [
  { name: 'small', what: 'files of 3 KiB', files: quick ? 2_000 : 10_000, bytes: 3 * 1024 },
  { name: 'one', what: 'file of 1 GiB', files: 1, bytes: (quick ? 128 : 1024) * MIB },
  { name: 'large', what: 'files of 64 MiB', files: quick ? 2 : 16, bytes: 64 * MIB },
]

/** No rows where there is no rclone. */
export async function egressRows(base: string, quick: boolean): Promise<Row[]> {
  const missing = await missingTool('rclone', ['version'])
  if (missing !== undefined) {
    console.error(`egress is not measured: ${missing}`)
    return []
  }
  const credentials = testCredentials()
  const start = async (name: string, more: Record<string, string>) => {
    const folder = join(base, name)
    await mkdir(folder)
    const environment = { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '600000', SLUICE_BATCH_MAX_AGE_MS: '3600000' }
    return startServer({ folder, credentials, environment: { ...environment, ...more } })
  }
  const source = await start('egress-source', { SLUICE_ALLOW_TARGETS: '127.0.0.1:*' })
  const target = await start('egress-target', {})
  try {
    await ask(source, 'POST', '/v1/secrets', { name: 'target', ...credentials })
    await rclone(target, ['mkdir', 'to:master.target'])
    const rows: Row[] = []
    for (const one of cases(quick)) rows.push(await compare(one, base, { source, target }))
    return rows
  } finally {
    for (const server of [source, target]) if (!server.ended) await server.stop()
  }
}

async function compare(one: Case, base: string, { source, target }: { source: Server; target: Server }): Promise<Row> {
  const folder = join(base, one.name)
  await fill(folder, one)
  await rclone(source, ['mkdir', `to:master.${one.name}`])
  await rclone(source, ['copy', '--transfers', '16', folder, `to:master.${one.name}`])
  await fetchText(source.s3Url, source, 'POST', `/master.${one.name}?flush=&timeout=60`)
  const rcloneTook: { readonly transfers: number; readonly took: Took }[] = []
  const egressTook: Took[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const transfers of TRANSFERS) {
      const to = `to:master.target/rclone-${one.name}-${transfers}-${round}`
      rcloneTook.push({ transfers, took: await rclone(target, ['copy', '--transfers', String(transfers), folder, to]) })
    }
    egressTook.push(
      await push(source, one.name, `${target.s3Url.replace('http:', 's3:')}/master.target/egress-${one.name}-${round}`),
    )
  }
  const ours = best(egressTook, (took) => took)
  const theirs = best(rcloneTook, ({ took }) => took)
  const byDefault = best(
    rcloneTook.filter(({ transfers }) => transfers === TRANSFERS[0]),
    ({ took }) => took,
  )
  const count = one.files === 1 ? '1' : one.files.toLocaleString('en')
  const size = one.bytes >= MIB ? one.what.replace('1 GiB', `${one.bytes / MIB} MiB`) : one.what
  return {
    what: `egress of ${count} ${size}`,
    figure: `${ours.seconds.toFixed(2)} s`,
    perCore: `${ours.cpuSeconds.toFixed(2)} s of CPU`,
    limit: `rclone --transfers ${theirs.transfers}: ${theirs.took.seconds.toFixed(2)} s, ${theirs.took.cpuSeconds.toFixed(2)} s of CPU; as it comes: ${byDefault.took.seconds.toFixed(2)} s`,
    share: `${(ours.seconds / theirs.took.seconds).toFixed(2)} of its time`,
  }
}

function best<Item>(items: readonly Item[], tookOf: (item: Item) => Took): Item {
  return items.reduce((a, b) => (tookOf(b).seconds < tookOf(a).seconds ? b : a))
}

async function fill(folder: string, { files, bytes }: Case): Promise<void> {
  await mkdir(folder)
  for (let n = 0; n < files; n++) {
    const file = createWriteStream(join(folder, String(n).padStart(6, '0')))
    for (let left = bytes; left > 0; left -= MIB) {
      if (!file.write(randomBytes(Math.min(MIB, left)))) await once(file, 'drain')
    }
    file.end()
    await once(file, 'close')
  }
}

/** `rclone …` with the remote `to:` at this server; what it took. */
async function rclone(server: Server, args: readonly string[]): Promise<Took> {
  const { accessKeyId, secretAccessKey } = server.credentials
  const environment = {
    ...server.clientEnvironment,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_TO_TYPE: 's3',
    RCLONE_CONFIG_TO_PROVIDER: 'Other',
    RCLONE_CONFIG_TO_ENDPOINT: server.s3Url,
    RCLONE_CONFIG_TO_ACCESS_KEY_ID: accessKeyId,
    RCLONE_CONFIG_TO_SECRET_ACCESS_KEY: secretAccessKey,
  }
  const from = performance.now()
  // The shell says what its children took; nobody else does.
  const ran = await runProgram('sh', ['-c', 'rclone "$@" && times', 'sh', ...args], {
    environment,
    timeoutMs: RCLONE_TIMEOUT_MS,
  })
  const seconds = (performance.now() - from) / 1000
  if (ran.code !== 0) throw new Error(`rclone ${args.join(' ')}: ${ran.stderr}`)
  const children = [...(ran.stdout.trim().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
  return {
    seconds,
    cpuSeconds: children.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0),
  }
}

async function push(source: Server, repo: string, URL: string): Promise<Took> {
  const before = cpuSeconds(source.pid)
  const asked = await ask(source, 'POST', '/v1/egress', { commit: `${repo}@master`, egress: { URL, secret: 'target' } })
  const { id } = (asked as { egress: EgressJson }).egress
  for (;;) {
    const { state, reason, created, finished } = (await ask(source, 'GET', `/v1/egress/${id}`)) as EgressJson
    if (state === 'failed') throw new Error(`the push failed: ${reason}`)
    if (state === 'success' && created !== null && finished !== null) {
      return {
        seconds: (Date.parse(finished) - Date.parse(created)) / 1000,
        cpuSeconds: cpuSeconds(source.pid) - before,
      }
    }
    await sleep(100)
  }
}

async function ask(server: Server, method: string, path: string, body?: object): Promise<unknown> {
  return JSON.parse(await fetchText(server.apiUrl, server, method, path, body))
}

async function fetchText(url: string, server: Server, method: string, path: string, json?: object): Promise<string> {
  const body = json === undefined ? '' : JSON.stringify(json)
  const headers = signRequest({
    method,
    url: `${url}${path}`,
    headers: { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) },
    bodySha256: createHash('sha256').update(body).digest('hex'),
    ...server.credentials,
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
  })
  const outgoing = request(`${url}${path}`, { method, headers })
  outgoing.end(body)
  const [incoming] = await once(outgoing, 'response')
  const answer = await text(incoming)
  if (incoming.statusCode >= 300) throw new Error(`${method} ${path}: ${incoming.statusCode} ${answer}`)
  return answer
}
