import { parentPort } from 'node:worker_threads'
import { findCut, upTo } from './gear.ts'
import { createHasher, type DigestName, digestAll, type Hasher } from './hashers.ts'
import type { LaneReply, LaneRequest } from './protocol.ts'

interface Lane {
  readonly hashers: readonly (readonly [DigestName, Hasher])[]
  readonly memory: SharedArrayBuffer
  readonly slotBytes: number
}

const lanes = new Map<number, Lane>()
const reply = (message: LaneReply) => parentPort?.postMessage(message)

function once({ lane, names, segments, cut }: Extract<LaneRequest, { op: 'once' }>): void {
  let bytes = segments.map(({ memory, offset, length }) => Buffer.from(memory, offset, length))
  if (cut) {
    const end = findCut(bytes, cut.rule, cut)
    // Said before it is hashed: what follows can be cut meanwhile.
    reply({ op: 'cut', lane, bytes: end })
    if (end === undefined) return
    bytes = upTo(bytes, end)
  }
  reply({ op: 'digested', lane, digests: digestAll(names, bytes) })
}

function onRequest(request: LaneRequest): void {
  if (request.op === 'open') {
    const hashers = request.names.map((name) => [name, createHasher(name)] as const)
    lanes.set(request.lane, { hashers, memory: request.memory, slotBytes: request.slotBytes })
    return
  }
  if (request.op === 'once') {
    once(request)
    return
  }
  const lane = lanes.get(request.lane)
  if (!lane) return
  switch (request.op) {
    case 'update': {
      const bytes = new Uint8Array(lane.memory, request.slot * lane.slotBytes, request.length)
      for (const [, hasher] of lane.hashers) hasher.update(bytes)
      reply({ op: 'done', lane: request.lane, slot: request.slot })
      break
    }
    case 'digest':
      lanes.delete(request.lane)
      reply({
        op: 'digested',
        lane: request.lane,
        digests: lane.hashers.map(([name, hasher]) => [name, hasher.digest()] as const),
      })
      break
    case 'abandon':
      lanes.delete(request.lane)
      break
  }
}

parentPort?.on('message', onRequest)
