/**
 * Where content is cut: by the gear hash of FastCDC (Xia and others, USENIX ATC 2016), in WebAssembly. It rolls over the bytes; each
 * shifts it by one bit and adds a number of its own, so that it says something of the last 64 bytes and of nothing else. A chunk
 * ends where the hash is small. So an edit moves the cuts next to it, and behind them the same content is cut as it was. The first
 * bytes of a chunk are not looked at. Lengths are not made more alike ("normalised chunking"): that takes longer to find back to the
 * cuts of before.
 */
import { hash } from 'node:crypto'
import { codeBytes, i32, i64, nameBytes, op, section, startModule, WASM_HEADER, WASM_PAGE_BYTES } from './wasm.ts'

/** How long chunks become. Contents are cut alike, and so share chunks, only under the same rule. */
export interface CutRule {
  /** No chunk is shorter, except the last one. At least 64. */
  readonly minBytes: number
  /** Where no cut was found before, it is here. */
  readonly maxBytes: number
  /** One hash in 2^bits cuts. */
  readonly bits: number
}

/** The hash of a position has forgotten everything that is further back. */
const GEAR_WINDOW_BYTES = 64
const TABLE_BYTES = 256 * 8
const INPUT_AT = TABLE_BYTES
/** What is copied into the module's memory at a time: it is still in the processor's first caches when it is read there. */
const INPUT_BYTES = 32 * 1024
const HALF_BYTES = INPUT_BYTES / 2
const PAGES = Math.ceil((INPUT_AT + INPUT_BYTES) / WASM_PAGE_BYTES)
const BYTES_PER_ROUND = 8

const ADDRESS = 0
const END = 1
const BELOW = 2
const HASH = 3
/** As it was when the round began. */
const HASH_BEFORE = 4
const KEPT_HASH = 0

/** Takes one byte into the hash and says whether it is small. */
function step(offset: number, hash = HASH): number[] {
  return [
    ...[...op.getLocal(hash), ...op.i64const(1), ...op.i64shiftLeft],
    ...[...op.getLocal(ADDRESS), ...op.i32load8u(offset), ...op.i32const(3), ...op.i32shiftLeft, ...op.i64load(0)],
    ...[...op.i64add, ...op.teeLocal(hash), ...op.getLocal(BELOW), ...op.i64lessUnsigned],
  ]
}

const advance = (bytes: number) => [
  ...[...op.getLocal(ADDRESS), ...op.i32const(bytes), ...op.i32add, ...op.setLocal(ADDRESS)],
]
const keepHash = [...op.getLocal(HASH), ...op.setGlobal(KEPT_HASH)]

/**
 * scan(address, end, below): the address behind the first byte after which the hash is below, or 0. The hash goes on from call to call.
 * Eight bytes are a round; the one with the hit in it, and the rest, are gone through byte by byte.
 */
function scanBody(): number[] {
  const locals = [1, 2, i64]
  const round = [
    ...[...op.getLocal(HASH), ...op.setLocal(HASH_BEFORE)],
    ...[...op.getLocal(END), ...op.getLocal(ADDRESS), ...op.i32subtract, ...op.i32const(BYTES_PER_ROUND)],
    ...[...op.i32lessUnsigned, ...op.branchIf(1)],
    ...Array.from({ length: BYTES_PER_ROUND }, (_, offset) => [...step(offset), ...op.branchIf(1)]).flat(),
    ...[...advance(BYTES_PER_ROUND), ...op.branch(0)],
  ]
  const oneByte = [
    ...[...op.getLocal(ADDRESS), ...op.getLocal(END), ...op.i32atLeastUnsigned, ...op.branchIf(1)],
    ...[
      ...step(0),
      ...op.if,
      ...keepHash,
      ...op.getLocal(ADDRESS),
      ...op.i32const(1),
      ...op.i32add,
      ...op.return,
      ...op.end,
    ],
    ...[...advance(1), ...op.branch(0)],
  ]
  return [
    ...[...locals, ...op.getGlobal(KEPT_HASH), ...op.setLocal(HASH)],
    ...[...op.whileLoop(round), ...op.getLocal(HASH_BEFORE), ...op.setLocal(HASH), ...op.whileLoop(oneByte)],
    ...[...keepHash, ...op.i32const(0), ...op.end],
  ]
}

/**
 * scanBoth(address, end, below): 1 if there is a hit in [address, end) or in the HALF_BYTES behind it, which begin at `end`; else 0, and
 * the hash goes on behind them. A step has to wait for the one before it, so two stretches side by side take little longer than one.
 */
function scanBothBody(): number[] {
  const OTHER = 4
  const locals = [1, 2, i64]
  const warmUp = Array.from({ length: GEAR_WINDOW_BYTES }, (_, offset) => [
    ...step(HALF_BYTES - GEAR_WINDOW_BYTES + offset, OTHER),
    ...op.drop,
  ]).flat()
  const round = [
    ...[...op.getLocal(ADDRESS), ...op.getLocal(END), ...op.i32atLeastUnsigned, ...op.branchIf(1)],
    ...Array.from({ length: BYTES_PER_ROUND }, (_, offset) => [
      ...[...step(offset), ...op.branchIf(2)],
      ...[...step(HALF_BYTES + offset, OTHER), ...op.branchIf(2)],
    ]).flat(),
    ...[...advance(BYTES_PER_ROUND), ...op.branch(0)],
  ]
  return [
    ...[...locals, ...op.getGlobal(KEPT_HASH), ...op.setLocal(HASH), ...warmUp],
    ...[...op.block, ...op.whileLoop(round)],
    ...[...op.getLocal(OTHER), ...op.setGlobal(KEPT_HASH), ...op.i32const(0), ...op.return, ...op.end],
    ...[...op.i32const(1), ...op.end],
  ]
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...WASM_HEADER,
    ...section(1, [1, 0x60, 3, i32, i32, i64, 1, i32]),
    ...section(3, [2, 0, 0]),
    ...section(5, [1, 0, PAGES]),
    ...section(6, [1, i64, 1, ...op.i64const(0), ...op.end]),
    ...section(7, [3, ...nameBytes('memory'), 2, 0, ...nameBytes('scan'), 0, 0, ...nameBytes('scanBoth'), 0, 1]),
    ...section(10, codeBytes([scanBody(), scanBothBody()])),
  ])
}

/**
 * The number of each byte: the same in every store, so that contents are cut alike wherever they are. It is no secret: whoever knows
 * it can make content of very short or very long chunks, and the rule bounds both.
 */
function fillTable(table: Uint8Array): void {
  const perHash = 64
  for (let at = 0; at < TABLE_BYTES; at += perHash)
    table.set(hash('sha512', `sluice gear ${at / perHash}`, 'buffer'), at)
}

type Scan = (address: number, end: number, below: bigint) => number

interface Engine {
  readonly scan: Scan
  readonly scanBoth: Scan
  readonly input: Uint8Array
}

let instance: Engine | undefined

function engine(): Engine {
  if (instance) return instance
  const { memory, scan, scanBoth } = startModule(moduleBytes())
  fillTable(new Uint8Array(memory.buffer, 0, TABLE_BYTES))
  const input = new Uint8Array(memory.buffer, INPUT_AT, INPUT_BYTES)
  instance = { scan: scan as Scan, scanBoth: scanBoth as Scan, input }
  return instance
}

/** The first position in [from, to) behind whose byte the hash is below, counted from the segments' start. */
function firstBelow(segments: readonly Uint8Array[], from: number, to: number, below: bigint): number | undefined {
  const { scan, scanBoth, input } = engine()
  let start = 0
  for (const segment of segments) {
    const last = Math.min(to - start, segment.length)
    for (let at = Math.max(from - start, 0); at < last; at += INPUT_BYTES) {
      const piece = segment.subarray(at, Math.min(at + INPUT_BYTES, last))
      input.set(piece)
      if (piece.length === INPUT_BYTES && scanBoth(INPUT_AT, INPUT_AT + HALF_BYTES, below) === 0) continue
      const hit = scan(INPUT_AT, INPUT_AT + piece.length, below)
      if (hit > 0) return start + at + hit - INPUT_AT
    }
    start += segment.length
    if (start >= to) break
  }
  return undefined
}

const NEVER = 0n

/**
 * How long the chunk is that begins where the segments begin: of all of them together, or undefined if no cut is in what is there yet.
 * `scanned` bytes were there when it was asked before; `last`: nothing follows.
 */
export function findCut(
  segments: readonly Uint8Array[],
  rule: CutRule,
  { scanned = 0, last = false }: { readonly scanned?: number; readonly last?: boolean } = {},
): number | undefined {
  const bytes = segments.reduce((sum, segment) => sum + segment.length, 0)
  const { minBytes, maxBytes, bits } = rule
  const to = Math.min(bytes, maxBytes)
  const from = Math.max(scanned, minBytes)
  if (from < to) {
    firstBelow(segments, from - GEAR_WINDOW_BYTES, from, NEVER)
    const cut = firstBelow(segments, from, to, 1n << BigInt(64 - bits))
    if (cut !== undefined) return cut
  }
  if (bytes >= maxBytes) return maxBytes
  return last && bytes > 0 ? bytes : undefined
}

/** The first so many bytes of the segments. */
export function upTo<Segment extends Uint8Array>(segments: readonly Segment[], bytes: number): Segment[] {
  const taken: Segment[] = []
  let left = bytes
  for (const segment of segments) {
    if (left <= 0) break
    taken.push(segment.length <= left ? segment : (segment.subarray(0, left) as Segment))
    left -= segment.length
  }
  return taken
}
