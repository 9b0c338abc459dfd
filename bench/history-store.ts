/** Stores of many objects, built by the path that users have: an archive that is imported. */
import { readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from '../conformance/server.ts'
import type { ImportedJson, ImportJson, RepoJson } from '../src/api/contract.ts'
import { type Answer, type Client, createClient, type Send } from '../test/faults/client.ts'
import { cpuSeconds } from './measure.ts'

const BLOCK = 512
/** Each folder has so few objects that a page with a delimiter has to pass over a thousand of them. */
const PER_FOLDER = 5
/** Members of one piece of the archive's stream. */
const PER_PIECE = 256

/** The key of an object. */
export function keyOf(n: number): string {
  return `folder-${String(Math.floor(n / PER_FOLDER)).padStart(7, '0')}/object-${String(n).padStart(8, '0')}`
}

/** The numbers of a store in an order in which those that follow one another lie far apart, each once. */
export const scattered = (i: number, objects: number): number => (i * stepOf(objects)) % objects

/** By the golden ratio, so that wherever one looks they are spread evenly; with no factor in common, so that all are met. */
function stepOf(objects: number): number {
  let step = Math.floor(objects * 0.618_033_988_7) | 1
  while (commonFactor(step, objects) > 1) step += 2
  return step
}

const commonFactor = (a: number, b: number): number => (b === 0 ? a : commonFactor(b, a % b))

/** A server with what its figures are asked through. */
export interface HistoryBench {
  readonly server: Server
  readonly s3: Client
  readonly api: Client
}

export function openHistoryBench(server: Server): HistoryBench {
  return {
    server,
    s3: createClient(server.s3Url, server.credentials, 8),
    api: createClient(server.apiUrl, server.credentials, 8),
  }
}

export async function expectOk(client: Client, method: string, path: string, options?: Send): Promise<Answer> {
  const answer = await client.send(method, path, options)
  if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
  return answer
}

export async function askJson<T>(client: Client, method: string, path: string, body?: unknown): Promise<T> {
  const options: Send =
    body === undefined
      ? {}
      : { body: Buffer.from(JSON.stringify(body)), headers: { 'content-type': 'application/json' } }
  const answer = await expectOk(client, method, path, options)
  return (answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString())) as T
}

/** A member of 16 bytes: header, body, padding. */
function writeMember(into: Buffer, at: number, n: number, mark: number): void {
  template.copy(into, at)
  into.write(keyOf(n), at, 'latin1')
  into.fill(0x20, at + 148, at + 156)
  let sum = 0
  for (let i = at; i < at + BLOCK; i++) sum += into[i]!
  into.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
  into.writeUInt32LE(n, at + BLOCK)
  into.writeUInt32LE(mark, at + BLOCK + 4)
}

const template = Buffer.alloc(2 * BLOCK)
template.write('0000644\x000000000\x000000000\x00', 100, 'latin1')
template.write('00000000020\x0000000000000\x00', 124, 'latin1')
template.write('0', 156, 'latin1')
template.write('ustar\x0000', 257, 'latin1')

/** `mark`: makes the content another one than what an archive with another mark has. */
function* archivePieces(objects: number, members: number, mark: number): Generator<Buffer> {
  for (let from = 0; from < members; from += PER_PIECE) {
    const count = Math.min(PER_PIECE, members - from)
    const piece = Buffer.allocUnsafe(count * 2 * BLOCK)
    for (let i = 0; i < count; i++) writeMember(piece, i * 2 * BLOCK, scattered(from + i, objects), mark)
    yield piece
  }
  yield Buffer.alloc(2 * BLOCK)
}

export interface Built {
  readonly objects: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of the nodes' database and the packs together. */
  readonly storedBytes: number
  readonly peakBytes: number
}

/** Imports an archive of so many objects into a repo of its own; undefined if it is there already. */
export async function buildRepo(bench: HistoryBench, repo: string, objects: number): Promise<Built | undefined> {
  const found = (await askJson<RepoJson[]>(bench.api, 'GET', '/v1/repos')).find(({ name }) => name === repo)
  if (found !== undefined && found.files >= objects) return undefined
  await expectOk(bench.s3, 'PUT', `/master.${repo}`)
  const before = await storedBytes(bench.server.folder)
  const [from, cpuFrom] = [performance.now(), cpuSeconds(bench.server.pid)]
  expectAdded(await importMembers(bench, repo, 'master', objects, objects, 0), objects)
  return {
    objects,
    seconds: (performance.now() - from) / 1000,
    cpuSeconds: cpuSeconds(bench.server.pid) - cpuFrom,
    storedBytes: (await storedBytes(bench.server.folder)) - before,
    peakBytes: memoryOf(bench.server.pid).peakBytes,
  }
}

/** Overwrites so many objects of a branch by one import. */
export async function importChanges(
  bench: HistoryBench,
  repo: string,
  branch: string,
  objects: number,
  changes: number,
): Promise<void> {
  const { changed } = await importMembers(bench, repo, branch, objects, changes, Math.floor(Math.random() * 2 ** 32))
  if (changed !== changes) throw new Error(`${changed} objects were changed instead of ${changes}`)
}

async function importMembers(
  bench: HistoryBench,
  repo: string,
  branch: string,
  objects: number,
  members: number,
  mark: number,
): Promise<ImportedJson> {
  const answer = await expectOk(bench.api, 'POST', `/v1/repos/${repo}/branches/${branch}/import`, {
    body: { size: (members * 2 + 2) * BLOCK, pieces: () => archivePieces(objects, members, mark) },
  })
  const last = answer.body.toString().trimEnd().split('\n').at(-1) ?? ''
  const imported = JSON.parse(last) as ImportJson | { readonly error: unknown }
  if (!('kind' in imported) || imported.kind !== 'imported') throw new Error(`the import ended with ${last}`)
  return imported
}

function expectAdded({ added }: ImportedJson, objects: number): void {
  if (added !== objects) throw new Error(`${added} objects were added instead of ${objects}`)
}

async function storedBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (item.isFile() && !item.name.endsWith('-shm')) {
      bytes += (await stat(join(item.parentPath, item.name))).size
    }
  }
  return bytes
}

/** What a process takes of the machine's memory, now and at most so far. */
export function memoryOf(pid: number): { readonly nowBytes: number; readonly peakBytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
  return { nowBytes: kib('VmRSS'), peakBytes: kib('VmHWM') }
}
