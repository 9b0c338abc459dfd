import { Worker } from 'node:worker_threads'
import type { CutRule } from './gear.ts'
import type { DigestName } from './hashers.ts'
import type { LaneReply, LaneRequest } from './protocol.ts'

/** MD5 and SHA-256 of one body run side by side; more would take cores from the server and the disk. */
const WORKERS = 2

/** Some digests of one body in one worker. */
export interface Lane {
  update(slot: number, length: number): void
  digest(): Promise<readonly (readonly [DigestName, Uint8Array])[]>
  abandon(): void
}

export interface LaneEvents {
  done(slot: number): void
  /** The worker died: nothing comes any more. */
  failed(error: Error): void
}

/** What a byte costs, roughly, without instructions made for it: where the next piece of work goes. */
const costPerByte: Readonly<Record<DigestName, number>> = {
  md5: 3,
  sha256: 4,
  sha1: 3,
  crc64nvme: 1,
  crc32: 0.5,
  crc32c: 0.5,
}

/** Half of the bytes are looked at. */
const CUT_COST_PER_BYTE = 0.5

function costOf(names: readonly DigestName[], bytes: number): number {
  return names.reduce((sum, name) => sum + costPerByte[name] * bytes, 0)
}

interface OpenLane {
  readonly events: LaneEvents
  /** Of its work that is not done. */
  waiting: number[]
  resolve?: (digests: readonly (readonly [DigestName, Uint8Array])[]) => void
  reject?: (error: Error) => void
  onCut?: (bytes: number | undefined) => void
}

interface Member {
  readonly worker: Worker
  readonly lanes: Map<number, OpenLane>
  /** The cost of all that was sent to it and is not done. */
  waiting: number
}

const members: (Member | undefined)[] = []
let nextLane = 1
let nextMember = 0

/** Beside this file, and `.js` where this file is. */
function workerUrl(): URL {
  const url = new URL('./worker.ts', import.meta.url)
  return import.meta.url.endsWith('.ts') ? url : new URL('./worker.js', import.meta.url)
}

function endLane(member: Member, lane: number): void {
  for (const cost of member.lanes.get(lane)?.waiting ?? []) member.waiting -= cost
  member.lanes.delete(lane)
  if (member.lanes.size === 0) member.worker.unref()
}

function onReply(member: Member, reply: LaneReply): void {
  const lane = member.lanes.get(reply.lane)
  if (!lane) return
  if (reply.op === 'done') {
    // Work of a lane is done in order.
    member.waiting -= lane.waiting.shift() ?? 0
    lane.events.done(reply.slot)
    return
  }
  if (reply.op === 'cut') {
    if (reply.bytes === undefined) endLane(member, reply.lane)
    lane.onCut?.(reply.bytes)
    return
  }
  endLane(member, reply.lane)
  lane.resolve?.(reply.digests)
}

function start(index: number): Member {
  // Flags meant for the main script (`--input-type` with -e) would keep a worker from starting.
  const worker = new Worker(workerUrl(), { execArgv: [] })
  const member: Member = { worker, lanes: new Map(), waiting: 0 }
  const fail = (error: Error) => {
    if (members[index] === member) members[index] = undefined
    for (const lane of member.lanes.values()) {
      lane.events.failed(error)
      lane.reject?.(error)
    }
    member.lanes.clear()
  }
  worker.on('message', (reply: LaneReply) => onReply(member, reply))
  worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', () => fail(new Error('the digest worker ended')))
  worker.unref()
  members[index] = member
  return member
}

/**
 * Which worker each group of digests goes to. MD5 is the slow one and gets a worker to itself; the start alternates, so that
 * two bodies at once use both.
 */
export function openLanes(
  names: readonly DigestName[],
  memory: SharedArrayBuffer,
  slotBytes: number,
  events: LaneEvents,
): readonly Lane[] {
  const others = names.filter((name) => name !== 'md5')
  const groups = [names.filter((name) => name === 'md5'), others].filter((group) => group.length > 0)
  const first = nextMember++
  return groups.map((group, index) => openLane((first + index) % WORKERS, group, memory, slotBytes, events))
}

function openLane(
  index: number,
  names: readonly DigestName[],
  memory: SharedArrayBuffer,
  slotBytes: number,
  events: LaneEvents,
): Lane {
  const member = members[index] ?? start(index)
  const lane = nextLane++
  const open: OpenLane = { events, waiting: [] }
  const send = (request: LaneRequest) => member.worker.postMessage(request)
  member.lanes.set(lane, open)
  member.worker.ref()
  send({ op: 'open', lane, names, memory, slotBytes })
  return {
    update: (slot, length) => {
      wait(member, open, costOf(names, length))
      send({ op: 'update', lane, slot, length })
    },
    digest: () =>
      new Promise((resolve, reject) => {
        if (!member.lanes.has(lane)) return reject(new Error('the digest worker ended'))
        open.resolve = resolve
        open.reject = reject
        send({ op: 'digest', lane })
      }),
    abandon: () => {
      if (!member.lanes.has(lane)) return
      endLane(member, lane)
      send({ op: 'abandon', lane })
    },
  }
}

/** Bytes that the workers see where they are. They must stay as they are until the work on them is done. */
export type SharedBytes = Buffer<SharedArrayBuffer>

/**
 * Digests of bytes that stand in shared memory, in one place or several, off the main thread and without copying them. Messages cost
 * some 50 µs: worth it from about 128 KiB.
 */
export function digestShared<Name extends DigestName>(
  names: readonly Name[],
  segments: readonly SharedBytes[],
): Promise<Record<Name, Buffer>> {
  return once(names, segments).digests
}

/** A chunk that was found, and its digests, which come a little later. */
export interface SharedCut<Name extends DigestName> {
  readonly bytes: number
  readonly digests: Promise<Record<Name, Buffer>>
}

/**
 * Looks for the end of the chunk that begins where the segments begin (see `findCut`), and digests the chunk, off the main
 * thread. Undefined if it does not end in what is there yet.
 */
export function cutShared<Name extends DigestName>(
  names: readonly Name[],
  segments: readonly SharedBytes[],
  rule: CutRule,
  { scanned = 0, last = false }: { readonly scanned?: number; readonly last?: boolean } = {},
): Promise<SharedCut<Name> | undefined> {
  const { open, digests } = once(names, segments, { rule, scanned, last })
  return new Promise((resolve, reject) => {
    open.onCut = (bytes) => resolve(bytes === undefined ? undefined : { bytes, digests })
    // Also when it fails after the cut: then whoever has the cut has these as well.
    digests.catch(reject)
  })
}

function once<Name extends DigestName>(
  names: readonly Name[],
  segments: readonly SharedBytes[],
  cut?: { readonly rule: CutRule; readonly scanned: number; readonly last: boolean },
): { readonly open: OpenLane; readonly digests: Promise<Record<Name, Buffer>> } {
  const member = leastBusy()
  const lane = nextLane++
  const open: OpenLane = { events: { done: () => {}, failed: () => {} }, waiting: [] }
  const digests = new Promise<Record<Name, Buffer>>((resolve, reject) => {
    open.reject = reject
    open.resolve = (found) => {
      const result = {} as Record<Name, Buffer>
      for (const [name, digest] of found) result[name as Name] = Buffer.from(digest)
      resolve(result)
    }
  })
  member.lanes.set(lane, open)
  const bytes = segments.reduce((sum, segment) => sum + segment.length, 0)
  wait(member, open, costOf(names, bytes) + (cut ? CUT_COST_PER_BYTE * bytes : 0))
  member.worker.ref()
  member.worker.postMessage({
    op: 'once',
    lane,
    names,
    segments: segments.map(({ buffer, byteOffset, length }) => ({ memory: buffer, offset: byteOffset, length })),
    ...(cut && { cut }),
  } satisfies LaneRequest)
  return { open, digests }
}

function wait(member: Member, lane: OpenLane, cost: number): void {
  member.waiting += cost
  lane.waiting.push(cost)
}

function leastBusy(): Member {
  let best = 0
  for (let i = 1; i < WORKERS; i++) if ((members[i]?.waiting ?? 0) < (members[best]?.waiting ?? 0)) best = i
  return members[best] ?? start(best)
}

/** Digests that workers have begun and not ended. */
export function digestsUnderWay(): number {
  return members.reduce((sum, member) => sum + (member?.lanes.size ?? 0), 0)
}

/** Ends the workers; digests under way fail. They start again when they are needed. */
export async function shutdownDigests(): Promise<void> {
  const running = members.splice(0).filter((member) => member !== undefined)
  await Promise.all(running.map((member) => member.worker.terminate()))
}
