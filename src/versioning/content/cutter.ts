import { type CutRule, cutShared, findCut, type SharedBytes, upTo } from '../../kernel/index.ts'
import { type ContentLimits, HASH_ASIDE_BYTES } from './content-limits.ts'
import type { Block, BlockPool } from './memory.ts'
import { type ChunkDigests, digestSegments } from './sha256.ts'

/** A stretch of a body that is to be one chunk. */
export interface CutChunk {
  readonly bytes: number
  readonly segments: readonly SharedBytes[]
  readonly digests: Promise<ChunkDigests>
  /** The memory may be used again. */
  release(): void
}

interface Part {
  readonly block: Block
  from: number
  to: number
}

interface Found {
  readonly bytes: number
  readonly digests: Promise<ChunkDigests>
}

const names = ['sha256', 'crc32'] as const

/**
 * How chunks of some length on average are cut. Stores know no rule: it may be another one in a later release, and only what is
 * stored under different rules shares no chunks.
 */
export function ruleFor(chunkBytes: number): CutRule {
  // Half of the length is not looked at, and the other half is what it takes on average to meet a hash that cuts.
  return { minBytes: Math.floor(chunkBytes / 2), maxBytes: 4 * chunkBytes, bits: Math.round(Math.log2(chunkBytes)) - 1 }
}

/**
 * Cuts one body into chunks. The cuts depend on the body's bytes alone, not on the pieces it comes in: up to `chunkBytes` it is one
 * chunk, else see `findCut`. While a digest worker looks for a cut, more of the body is taken, up to a bound.
 */
export class Cutter {
  readonly #blocks: BlockPool
  readonly #rule: CutRule
  readonly #chunkBytes: number
  readonly #emit: (chunk: CutChunk) => Promise<void>
  /** What is not cut off yet; the last part may have room. */
  #parts: Part[] = []
  #pending = 0
  /** Of these, how much is known to hold no cut. */
  #scanned = 0
  #askAt: number
  #emitted = false
  #cutting: Promise<void> | undefined
  #progress = Promise.withResolvers<void>()
  #error: unknown
  #ended = false

  /** `emit` is called with one chunk after the other, and resolves when it may be called again. */
  constructor(blocks: BlockPool, { chunkBytes }: ContentLimits, emit: (chunk: CutChunk) => Promise<void>) {
    this.#blocks = blocks
    this.#chunkBytes = chunkBytes
    this.#rule = ruleFor(chunkBytes)
    this.#askAt = this.#firstAsk
    this.#emit = emit
  }

  /** Most cuts are before this, so that one question is enough. Before, it is not known whether the body is one chunk. */
  get #firstAsk(): number {
    return this.#chunkBytes + Math.ceil(this.#chunkBytes / 4)
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      this.#check()
      const part = this.#partWithRoom()
      const copied = bytes.copy(part.block.bytes, part.to, at)
      part.to += copied
      at += copied
      this.#pending += copied
      if (this.#pending < this.#askAt) continue
      this.#cutting ??= this.#cut()
      while (this.#isTooFarAhead) await this.#progress.promise
    }
  }

  get #isTooFarAhead(): boolean {
    return this.#cutting !== undefined && this.#pending >= this.#askAt + this.#chunkBytes
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error
  }

  #partWithRoom(): Part {
    const last = this.#parts.at(-1)
    if (last && last.to < this.#blocks.bytes) return last
    const part = { block: this.#blocks.take(), from: 0, to: 0 }
    this.#parts.push(part)
    return part
  }

  /** Never rejects: errors are thrown by the next call. */
  async #cut(): Promise<void> {
    try {
      while (this.#pending >= this.#askAt && !this.#ended) await this.#cutNext(false)
    } catch (error) {
      this.#error ??= error
    } finally {
      this.#cutting = undefined
      this.#wake()
    }
  }

  async #cutNext(last: boolean): Promise<void> {
    const asked = this.#pending
    const found = await this.#findNext(last)
    found?.digests.catch(() => {
      // Whoever stores the chunk has the error; if the body is given up meanwhile, nobody wants to know.
    })
    if (this.#ended) return
    if (found) {
      await this.#takeOff(found)
    } else {
      this.#scanned = asked
      this.#askAt = Math.min(asked + Math.ceil(this.#chunkBytes / 2), this.#rule.maxBytes)
    }
    this.#wake()
  }

  async #findNext(last: boolean): Promise<Found | undefined> {
    const segments = upTo(this.#segments(), this.#rule.maxBytes)
    const whole = this.#pending <= (this.#emitted ? this.#rule.minBytes : this.#chunkBytes)
    if (last && whole) return { bytes: this.#pending, digests: digestSegments(segments) }
    const options = { scanned: this.#scanned, last }
    if (this.#pending >= HASH_ASIDE_BYTES) return cutShared(names, segments, this.#rule, options)
    const bytes = findCut(segments, this.#rule, options)
    return bytes === undefined ? undefined : { bytes, digests: digestSegments(upTo(segments, bytes)) }
  }

  #segments(): SharedBytes[] {
    return this.#parts.map(({ block, from, to }) => block.bytes.subarray(from, to))
  }

  async #takeOff({ bytes, digests }: Found): Promise<void> {
    const segments: SharedBytes[] = []
    const used: Block[] = []
    let left = bytes
    for (const part of this.#parts) {
      if (left === 0) break
      const taken = Math.min(left, part.to - part.from)
      if (taken === 0) continue
      segments.push(part.block.bytes.subarray(part.from, part.from + taken))
      part.block.users++
      used.push(part.block)
      part.from += taken
      left -= taken
    }
    this.#dropRead((part) => part.from === this.#blocks.bytes)
    this.#pending -= bytes
    this.#scanned = 0
    this.#askAt = this.#firstAsk
    this.#emitted = true
    const release = () => {
      for (const block of used) this.#blocks.release(block)
    }
    await this.#emit({ bytes, segments, digests, release })
  }

  #dropRead(isRead: (part: Part) => boolean): void {
    for (const part of this.#parts) if (isRead(part)) this.#blocks.release(part.block)
    this.#parts = this.#parts.filter((part) => !isRead(part))
  }

  #wake(): void {
    this.#progress.resolve()
    this.#progress = Promise.withResolvers()
  }

  /** All of the body, if it is at most this long and nothing of it was cut off yet. Ends the cutter then. */
  takeSmall(mostBytes: number): Buffer | undefined {
    this.#check()
    if (this.#emitted || this.#pending > mostBytes || this.#cutting) return undefined
    const bytes = Buffer.concat(this.#segments())
    this.#end()
    return bytes
  }

  /** All has been emitted when it resolves. */
  async finish(): Promise<void> {
    await this.#cutting
    this.#check()
    while (this.#pending > 0) {
      await this.#cutNext(true)
      // It may have been given up meanwhile.
      this.#check()
    }
    this.#end()
  }

  /** What was emitted is let go by whom it was emitted to. */
  async abandon(): Promise<void> {
    this.#error ??= new Error('the writer was aborted')
    const cutting = this.#cutting
    this.#end()
    this.#wake()
    await cutting
  }

  /** What a digest worker still reads is given up: it may be written over, and nobody looks at the digests. */
  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#dropRead(() => true)
  }
}
