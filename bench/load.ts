/** The load generator: a child process that signs its requests, says that it is ready, and runs when it is told to. */
import { createHash, hash, randomBytes } from 'node:crypto'
import { signRequest } from '../src/kernel/index.ts'
import type { FromGenerator, Load, LoadResult, ToGenerator } from './load-protocol.ts'
import { type Reply, Wire } from './wire.ts'

const MIB = 1024 * 1024
const emptyHash = createHash('sha256').digest('hex')

const say = (message: FromGenerator) => process.send?.(message)

function headOf(load: Load, method: string, path: string, bodySha256: string, length: number): Buffer {
  const headers = signRequest({
    method,
    url: `${load.url}${path}`,
    headers: method === 'PUT' ? { 'content-length': String(length) } : {},
    bodySha256,
    ...load.credentials,
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
  })
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
}

/** Throws on the first answer that is not a success: a bench of errors says nothing. */
function expectSuccess({ status, text }: Reply): void {
  if (status < 200 || status > 299) throw new Error(`the server answered ${status}: ${text}`)
}

async function prepareMany(load: Extract<Load, { kind: 'many' }>): Promise<() => Promise<LoadResult>> {
  const noise = randomBytes(load.bodyBytes)
  const requests = Array.from({ length: load.count }, (_, n) => {
    const path = load.path.replace('{n}', String(n % load.keys)) + (load.query ? `?${load.query}` : '')
    if (load.method === 'GET') return headOf(load, 'GET', path, emptyHash, 0)
    const body = Buffer.from(noise)
    body.writeUInt32LE(n, 0)
    return Buffer.concat([headOf(load, 'PUT', path, hash('sha256', body), body.length), body])
  })
  const wires = await Promise.all(Array.from({ length: load.connections }, () => Wire.open(load.url)))
  return async () => {
    const latencies = new Float64Array(load.count)
    let next = 0
    let bytes = 0
    const from = performance.now()
    const drive = (wire: Wire) =>
      new Promise<void>((resolve, reject) => {
        const step = () => {
          const n = next++
          const request = requests[n]
          if (!request) return resolve()
          const at = performance.now()
          const done = (reply: Reply) => {
            latencies[n] = performance.now() - at
            bytes += load.method === 'GET' ? reply.bodyBytes : load.bodyBytes
            try {
              expectSuccess(reply)
            } catch (error) {
              return reject(error)
            }
            step()
          }
          wire.send(request, done, reject)
        }
        step()
      })
    await Promise.all(wires.map(drive))
    const seconds = (performance.now() - from) / 1000
    for (const wire of wires) wire.close()
    latencies.sort()
    const at = (share: number) => latencies[Math.floor(share * (load.count - 1))] ?? 0
    return { requests: load.count, bytes, seconds, p50Ms: at(0.5), p99Ms: at(0.99) }
  }
}

/** Pieces that differ from each other, so that nothing is stored once for twice. */
function* pieces(bytes: number): Generator<Buffer> {
  const block = randomBytes(MIB)
  for (let at = 0, n = 0; at < bytes; at += MIB, n++) {
    const piece = Buffer.from(block.subarray(0, Math.min(MIB, bytes - at)))
    piece.writeUInt32LE(n, 0)
    yield piece
  }
}

async function prepareStream(load: Extract<Load, { kind: 'stream' }>): Promise<() => Promise<LoadResult>> {
  // A signed body must be the same when it is hashed and when it is sent.
  const body = load.method === 'PUT' ? (load.signed ? [...pieces(load.bytes)] : pieces(load.bytes)) : []
  let bodyHash = load.method === 'GET' ? emptyHash : 'UNSIGNED-PAYLOAD'
  if (load.method === 'PUT' && load.signed) {
    const sum = createHash('sha256')
    for (const piece of body) sum.update(piece)
    bodyHash = sum.digest('hex')
  }
  const head = headOf(load, load.method, load.path, bodyHash, load.bytes)
  const wire = await Wire.open(load.url)
  return async () => {
    const from = performance.now()
    const reply = await wire.stream(head, body)
    const seconds = (performance.now() - from) / 1000
    wire.close()
    expectSuccess(reply)
    const bytes = load.method === 'GET' ? reply.bodyBytes : load.bytes
    if (bytes !== load.bytes) throw new Error(`${bytes} bytes came instead of ${load.bytes}`)
    return { requests: 1, bytes, seconds, p50Ms: seconds * 1000, p99Ms: seconds * 1000 }
  }
}

let run: (() => Promise<LoadResult>) | undefined

async function take(message: ToGenerator): Promise<void> {
  if (message === 'go') {
    if (!run) throw new Error('asked to go before there was a load')
    say({ result: await run() })
    process.disconnect()
    return
  }
  run = await (message.load.kind === 'many' ? prepareMany(message.load) : prepareStream(message.load))
  say('ready')
}

process.on('message', (message: ToGenerator) => {
  take(message).catch((error: Error) => {
    say({ error: error.stack ?? error.message })
    process.exitCode = 1
    process.disconnect()
  })
})
