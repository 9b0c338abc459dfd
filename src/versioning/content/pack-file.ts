import { die, faultPoint, faultyLength } from '../../kernel/index.ts'
import type { ChunkPlace } from '../content-store.ts'
import type { OpenFile } from './files.ts'
import type { Health } from './health.ts'
import {
  dataOf,
  FILE_HEADER_BYTES,
  fileHeader,
  lengthOf,
  type PackRecord,
  RECORD_HEADER_BYTES,
  writeRecordHeader,
} from './record.ts'

/** Linux takes 1,024 buffers in one writev. */
const MAX_BUFFERS = 1000
/** Data up to this is copied behind its header: cheaper than one more buffer in writev. */
const COPY_BYTES = 16_384

export interface PackInfo {
  readonly id: number
  readonly name: string
}

/** The buffers that make up the records, and where each one's data will be. */
function layOut(
  pack: number,
  records: readonly PackRecord[],
  start: number,
): { buffers: Buffer[]; places: ChunkPlace[] } {
  const copied = (record: PackRecord) => {
    const length = lengthOf(record)
    return length <= COPY_BYTES ? length : 0
  }
  const arena = Buffer.allocUnsafe(
    records.reduce((sum, record) => sum + RECORD_HEADER_BYTES + copied(record), start === 0 ? FILE_HEADER_BYTES : 0),
  )
  const buffers: Buffer[] = []
  const places: ChunkPlace[] = []
  let from = 0
  let at = start === 0 ? fileHeader().copy(arena) : 0
  let offset = start + at
  for (const record of records) {
    const { sha256 } = record
    const length = lengthOf(record)
    writeRecordHeader(record, arena, at)
    at += RECORD_HEADER_BYTES
    offset += RECORD_HEADER_BYTES
    places.push({ sha256, pack, offset, length })
    offset += length
    if (copied(record) > 0) {
      for (const data of dataOf(record)) at += data.copy(arena, at)
    } else {
      buffers.push(arena.subarray(from, at), ...dataOf(record))
      from = at
    }
  }
  if (from < at) buffers.push(arena.subarray(from, at))
  return { buffers, places }
}

function sizeOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0)
}

/** The first so many bytes. */
function upTo(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes
  if (left >= sizeOf(buffers)) return buffers
  const taken: Buffer[] = []
  for (const buffer of buffers) {
    if (left <= 0) break
    taken.push(buffer.subarray(0, left))
    left -= buffer.length
  }
  return taken
}

/** Writes all of it, however little the system takes at a time. */
async function writeAll(file: OpenFile, buffers: readonly Buffer[], position: number): Promise<number> {
  let rest = buffers.filter((buffer) => buffer.length > 0)
  let at = position
  while (rest.length > 0) {
    const some = rest.slice(0, MAX_BUFFERS)
    const most = faultyLength('pack.write', sizeOf(some))
    let written = await file.write(upTo(some, most.bytes), at)
    if (most.thenDie) die()
    if (written <= 0) throw new Error('the system wrote nothing and said nothing')
    at += written
    let whole = 0
    for (const buffer of rest) {
      if (written < buffer.length) break
      written -= buffer.length
      whole++
    }
    rest = rest.slice(whole)
    const [first] = rest
    if (first && written > 0) rest[0] = first.subarray(written)
  }
  return at
}

/** Whoever asked has the error; this only keeps the order. */
function settled(work: Promise<unknown>): Promise<unknown> {
  return work.catch(() => {})
}

/** A pack that is being appended to. Appends are worked off one after the other; a flush does not hold up those behind it. */
export class PackFile implements PackInfo {
  readonly id: number
  readonly name: string
  readonly #file: OpenFile
  readonly #health: Health
  #end: number
  #durableEnd: number
  #appended: Promise<unknown> = Promise.resolve()
  #synced: Promise<unknown> = Promise.resolve()

  constructor(info: PackInfo, file: OpenFile, health: Health, end = 0) {
    this.id = info.id
    this.name = info.name
    this.#file = file
    this.#health = health
    this.#end = end
    this.#durableEnd = end
  }

  /** How long the file is with all that was appended. */
  get end(): number {
    return this.#end
  }

  /** How much of it a crash can't take away. */
  get durableEnd(): number {
    return this.#durableEnd
  }

  /** Written, but not durable before `sync`. Keeps the data until it resolves. */
  append(records: readonly PackRecord[]): Promise<readonly ChunkPlace[]> {
    const result = this.#appended.then(() =>
      this.#guard(async () => {
        const { buffers, places } = layOut(this.id, records, this.#end)
        this.#end = await writeAll(this.#file, buffers, this.#end)
        faultPoint('pack.written')
        return places
      }),
    )
    this.#appended = settled(result)
    return result
  }

  /** All that was appended before is durable when it resolves. */
  sync(): Promise<void> {
    const result = Promise.all([this.#appended, this.#synced]).then(() =>
      this.#guard(async () => {
        const end = this.#end
        faultPoint('pack.sync')
        await this.#file.datasync()
        this.#durableEnd = end
        faultPoint('pack.synced')
      }),
    )
    this.#synced = settled(result)
    return result
  }

  /** Takes off all that is not durable; only when nothing else is under way. */
  cutBack(): Promise<void> {
    return this.#guard(async () => {
      await this.#file.truncate(this.#durableEnd)
      this.#end = this.#durableEnd
      await this.#file.datasync()
    })
  }

  async close(): Promise<void> {
    await Promise.all([this.#appended, this.#synced])
    await this.#file.close()
  }

  async #guard<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#health.check()
    try {
      return await work()
    } catch (error) {
      throw this.#health.packFailed(error)
    }
  }
}
