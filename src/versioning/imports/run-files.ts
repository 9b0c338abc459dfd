import { type FileHandle, open } from 'node:fs/promises'
import { Corrupt, KIB, MIB } from '../../kernel/index.ts'
import { MAX_RECORD_BYTES, type RecordView, readRecord, recordLength, writeRecord } from './records.ts'

/** Each run that is merged has a buffer of this. */
const READ_BYTES = 256 * KIB
const WRITE_BYTES = MIB
const GROUP = 256

/** Records in the groups that they are handed on in. */
export function* inGroups(records: Iterable<RecordView>): Generator<readonly RecordView[]> {
  let group: RecordView[] = []
  for (const record of records) {
    group.push(record)
    if (group.length < GROUP) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

/** Appends records to a file. */
export async function writeRun(
  file: FileHandle,
  groups: Iterable<readonly RecordView[]> | AsyncIterable<readonly RecordView[]>,
): Promise<void> {
  const out = Buffer.allocUnsafe(WRITE_BYTES + MAX_RECORD_BYTES)
  let filled = 0
  const flush = async () => {
    for (let at = 0; at < filled; ) at += (await file.write(out, at, filled - at)).bytesWritten
    filled = 0
  }
  for await (const group of groups) {
    for (const { number, item } of group) {
      filled = writeRecord(out, filled, number, item)
      if (filled >= WRITE_BYTES) await flush()
    }
  }
  await flush()
}

/** Reads a run from its beginning to its end. What it gave stays as it is: each piece is read into memory of its own. */
export class RunReader {
  readonly #file: FileHandle
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #ended = false
  /** The record that is next; undefined before the first `advance` and at the end. */
  head: RecordView | undefined

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(path: string): Promise<RunReader> {
    return new RunReader(await open(path, 'r'))
  }

  /** To the next record, if it was read already; false if `read` has to be asked first. */
  advance(): boolean {
    const length = recordLength(this.#bytes, this.#at, this.#bytes.length)
    if (length === undefined || this.#at + length > this.#bytes.length) {
      if (!this.#ended) return false
      if (this.#at < this.#bytes.length) throw new Corrupt('a temporary file of an import ends early')
      this.head = undefined
      return true
    }
    this.head = readRecord(this.#bytes, this.#at)
    this.#at += length
    return true
  }

  /** Reads on. Throws Corrupt. */
  async read(): Promise<void> {
    const rest = this.#bytes.subarray(this.#at)
    const bytes = Buffer.allocUnsafeSlow(rest.length + READ_BYTES)
    rest.copy(bytes)
    const { bytesRead } = await this.#file.read(bytes, rest.length, READ_BYTES)
    if (bytesRead === 0) this.#ended = true
    this.#bytes = bytes.subarray(0, rest.length + bytesRead)
    this.#at = 0
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
