/** Writes of many kinds from many workers, and an exact account of what the server acknowledged of them. */
import { createHash } from 'node:crypto'
import type { Client, Send } from './client.ts'

/** What a key may hold: contents made from a seed, or nothing. */
type State = { readonly seed: number; readonly size: number } | 'absent'

interface KeyAccount {
  /** By the last acknowledgement. */
  sure: State
  /** Attempts since then that were not answered: they may have happened or not. */
  maybe: State[]
}

export interface Loss {
  readonly key: string
  readonly expected: string
  readonly found: string
}

const MIB = 1024 * 1024
/** Inline, around the inline limit, one chunk, several chunks: each has its own path into the store. */
const sizes = [0, 100, 512, 513, 1024, 5_000, 100_000, MIB, MIB + 1, 3 * MIB + 17]
/** The smallest part that S3 allows, and a short last one. */
const partSizes = [5 * MIB, 70_000]

/** A small generator (mulberry32): the same numbers for the same seed, on every machine. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Bytes that no other seed gives, in time of a copy: a hash of the seed in front of every 64 bytes of a fixed noise. */
export function bytesOf(seed: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  const unit = createHash('sha512').update(`object ${seed}`).digest()
  for (let at = 0; at < size; at += unit.length) {
    unit.writeUInt32LE(at, 0)
    unit.copy(bytes, at)
  }
  return bytes
}

export interface WorkloadOptions {
  readonly bucket: string
  readonly workers: number
  readonly random: () => number
}

export class Workload {
  readonly #keys = new Map<string, KeyAccount>()
  readonly #options: WorkloadOptions
  #touched = new Set<string>()
  #seed = 0
  #acknowledged = 0

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Runs all workers until `signal` or until the server is gone; resolves when none has a request under way. */
  async run(client: Client, signal: AbortSignal): Promise<void> {
    const workers = Array.from({ length: this.#options.workers }, async (_, worker) => {
      let gone = false
      while (!gone && !signal.aborted) gone = !(await this.#step(client, worker))
    })
    await Promise.all(workers)
  }

  /** One write by one worker, which alone owns the keys that begin with its number. False if the connection broke. */
  async #step(client: Client, worker: number): Promise<boolean> {
    const { random } = this.#options
    const key = `w${worker}/${Math.floor(random() * 40)}`
    const account = this.#keys.get(key) ?? { sure: 'absent', maybe: [] }
    this.#keys.set(key, account)
    this.#touched.add(key)
    const kind = random()
    const seed = ++this.#seed
    const size = kind > 0.97 ? sum(partSizes) : (sizes[Math.floor(random() ** 2 * sizes.length)] ?? 0)
    const next: State = kind < 0.1 ? 'absent' : { seed, size }
    account.maybe.push(next)
    try {
      const done =
        next === 'absent'
          ? this.#delete(client, key)
          : kind > 0.97
            ? this.#multipart(client, key, next)
            : this.#put(client, key, next)
      const status = await done
      if (status === 503) return true
      if (status !== 200 && status !== 204) throw new UnexpectedAnswer(`${key}: ${status}`)
    } catch (error) {
      if (error instanceof UnexpectedAnswer) throw error
      return false
    }
    account.sure = next
    account.maybe = []
    this.#acknowledged++
    return true
  }

  async #send(client: Client, method: string, key: string, options?: Send) {
    return client.send(method, `/${this.#options.bucket}/${key}`, options)
  }

  async #put(client: Client, key: string, state: { seed: number; size: number }): Promise<number> {
    return (await this.#send(client, 'PUT', key, { body: bytesOf(state.seed, state.size) })).status
  }

  async #delete(client: Client, key: string): Promise<number> {
    return (await this.#send(client, 'DELETE', key)).status
  }

  async #multipart(client: Client, key: string, state: { seed: number; size: number }): Promise<number> {
    const begun = await this.#send(client, 'POST', key, { query: 'uploads=' })
    if (begun.status !== 200) return begun.status
    const upload = /<UploadId>([^<]+)</.exec(begun.body.toString())?.[1] ?? ''
    const whole = bytesOf(state.seed, state.size)
    const parts: string[] = []
    let from = 0
    for (const [index, size] of partSizes.entries()) {
      const query = `partNumber=${index + 1}&uploadId=${encodeURIComponent(upload)}`
      const { status, headers } = await this.#send(client, 'PUT', key, {
        query,
        body: whole.subarray(from, from + size),
      })
      if (status !== 200) return status
      parts.push(`<Part><PartNumber>${index + 1}</PartNumber><ETag>${headers.etag}</ETag></Part>`)
      from += size
    }
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`)
    const ended = await this.#send(client, 'POST', key, { query: `uploadId=${encodeURIComponent(upload)}`, body })
    // A long Complete answers 200 before it knows: the body says how it ended.
    return ended.status === 200 && !ended.body.includes('CompleteMultipartUploadResult') ? 503 : ended.status
  }

  /**
   * Reads back what was touched since the last verification (or everything) and takes it as the new state. What is neither the
   * acknowledged content nor that of a later attempt without an answer is a loss.
   */
  async verify(client: Client, options: { bucket?: string; everything?: boolean } = {}): Promise<Loss[]> {
    const bucket = options.bucket ?? this.#options.bucket
    const keys = options.everything ? [...this.#keys.keys()] : [...this.#touched]
    const losses: Loss[] = []
    const next = keys.values()
    const worker = async () => {
      for (const key of next) {
        const account = this.#keys.get(key)
        if (!account) continue
        const found = await this.#read(client, bucket, key)
        const possible = [account.sure, ...account.maybe]
        const state = possible.find((state) => describe(state) === found)
        if (state === undefined) losses.push({ key, expected: possible.map(describe).join(' or '), found })
        else {
          account.sure = state
          account.maybe = []
        }
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    this.#touched = new Set()
    return losses
  }

  async #read(client: Client, bucket: string, key: string): Promise<string> {
    const { status, body } = await client
      .send('GET', `/${bucket}/${key}`)
      .catch((error: Error) => ({ status: 0, body: Buffer.from(error.message) }))
    if (status === 200) return `${body.length} bytes ${digest(body)}`
    if (status === 404 && !body.includes('NoSuchBucket')) return 'nothing'
    return `status ${status}: ${body.toString().slice(0, 200)}`
  }
}

class UnexpectedAnswer extends Error {}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)
const digests = new Map<string, string>()

function describe(state: State): string {
  if (state === 'absent') return 'nothing'
  const name = `${state.seed} ${state.size}`
  const known = digests.get(name) ?? digest(bytesOf(state.seed, state.size))
  digests.set(name, known)
  return `${state.size} bytes ${known}`
}
