import type { RecordView } from './records.ts'
import { RunReader } from './run-files.ts'

const GROUP = 256

/** The records of sorted runs in one order, of those under one key the one with the greatest number. Throws Corrupt. */
export async function* mergeRuns(paths: readonly string[]): AsyncGenerator<readonly RecordView[]> {
  const readers: RunReader[] = []
  try {
    for (const path of paths) readers.push(await RunReader.open(path))
    const heap = new Heap()
    for (const reader of readers) {
      while (!reader.advance()) await reader.read()
      heap.push(reader)
    }
    let group: RecordView[] = []
    let last: RecordView | undefined
    for (let top = heap.top; top !== undefined; top = heap.top) {
      const record = top.head!
      // Of equal keys the greatest number comes first.
      if (last === undefined || last.item.key.compare(record.item.key) !== 0) {
        group.push(record)
        last = record
      }
      while (!top.advance()) await top.read()
      heap.topMoved()
      if (group.length < GROUP) continue
      yield group
      group = []
    }
    if (group.length > 0) yield group
  } finally {
    for (const reader of readers) await reader.close()
  }
}

function comesBefore(one: RunReader, other: RunReader): boolean {
  const a = one.head!
  const b = other.head!
  const order = a.item.key.compare(b.item.key)
  return order < 0 || (order === 0 && a.number > b.number)
}

/** Readers that have something, the one whose head comes first on top. */
class Heap {
  readonly #readers: RunReader[] = []

  get top(): RunReader | undefined {
    return this.#readers[0]
  }

  push(reader: RunReader): void {
    if (reader.head === undefined) return
    let at = this.#readers.push(reader) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!comesBefore(this.#readers[at]!, this.#readers[parent]!)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  /** The top one has gone on: it finds its new place, or leaves at its end. */
  topMoved(): void {
    const readers = this.#readers
    if (readers[0]!.head === undefined) {
      const last = readers.pop()!
      if (readers.length === 0) return
      readers[0] = last
    }
    for (let at = 0; ; ) {
      let first = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < readers.length && comesBefore(readers[child]!, readers[first]!)) first = child
      }
      if (first === at) return
      this.#swap(at, first)
      at = first
    }
  }

  #swap(a: number, b: number): void {
    const reader = this.#readers[a]!
    this.#readers[a] = this.#readers[b]!
    this.#readers[b] = reader
  }
}
