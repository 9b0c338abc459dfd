import { parentPort } from 'node:worker_threads'
import { createHasher, type DigestName, digestOnce, type Hasher } from './hashers.ts'
import type { LaneReply, LaneRequest } from './protocol.ts'

interface Lane {
  readonly hashers: readonly (readonly [DigestName, Hasher])[]
  readonly memory: SharedArrayBuffer
  readonly slotBytes: number
}

const lanes = new Map<number, Lane>()
const reply = (message: LaneReply) => parentPort?.postMessage(message)

function onRequest(request: LaneRequest): void {
  if (request.op === 'open') {
    const hashers = request.names.map((name) => [name, createHasher(name)] as const)
    lanes.set(request.lane, { hashers, memory: request.memory, slotBytes: request.slotBytes })
    return
  }
  if (request.op === 'once') {
    const digests = digestOnce(request.names, Buffer.from(request.memory, request.offset, request.length))
    reply({ op: 'digested', lane: request.lane, digests: request.names.map((name) => [name, digests[name]] as const) })
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
