/**
 * CRC-64/NVME (polynomial 0xad93d23594c93659, reflected, initial value and final XOR all ones) in WebAssembly: in plain
 * JavaScript 64-bit steps are BigInts, some hundred times slower. The module is two functions of some 1,000 bytes, put together
 * below, so that no binary has to be trusted; the method is slicing-by-8 (Kounavis and Berry, 2005). A step has to wait for the
 * one before it, so large inputs are taken as four stretches side by side, which are joined at the end.
 */

/** The part of the standard global that is used; neither the ES nor the Node types declare it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

const POLYNOMIAL = 0x9a6c9329ac4bc9b5n // the same, bits reversed
const ALL_ONES = 0xffff_ffff_ffff_ffffn
const SLICES = 8
const TABLE_BYTES = 256 * 8
/** Behind the tables of slicing: for each byte of a CRC, what becomes of it when a stretch of zeros follows. */
const SHIFT_TABLES = SLICES
const INPUT_AT = 2 * SLICES * TABLE_BYTES
const STRETCH_BYTES = 16_384
/** What is copied into the module's memory at a time. */
const INPUT_BYTES = 4 * STRETCH_BYTES
const WASM_PAGE_BYTES = 65_536
const PAGES = Math.ceil((INPUT_AT + INPUT_BYTES) / WASM_PAGE_BYTES)

type Step = (address: number, length: number, crc: bigint) => bigint

/** table[0] is the CRC of one byte; table[k], of that byte with k zero bytes behind it. */
function fillTables(memory: BigUint64Array): void {
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n
    memory[byte] = crc
  }
  for (let slice = 1; slice < SLICES; slice++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = memory[(slice - 1) * 256 + byte] ?? 0n
      memory[slice * 256 + byte] = (memory[Number(before & 0xffn)] ?? 0n) ^ (before >> 8n)
    }
  }
}

/** The instructions used, by their names in the WebAssembly core specification, chapter 5.4. */
const op = {
  block: [0x02, 0x40],
  loop: [0x03, 0x40],
  branchIf: (depth: number) => [0x0d, depth],
  branch: (depth: number) => [0x0c, depth],
  end: [0x0b],
  getLocal: (index: number) => [0x20, index],
  setLocal: (index: number) => [0x21, index],
  i32const: (value: number) => [0x41, ...signedLeb(value)],
  i64const: (value: number) => [0x42, ...signedLeb(value)],
  i64load: (offset: number) => [0x29, 3, ...leb(offset)],
  i64load8u: [0x31, 0, 0],
  i32lessUnsigned: [0x49],
  i32equalsZero: [0x45],
  i32add: [0x6a],
  i32subtract: [0x6b],
  i32and: [0x71],
  i32shiftLeft: [0x74],
  i32wrapI64: [0xa7],
  i64shiftRightUnsigned: [0x88],
  i64xor: [0x85],
} as const

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]
}

function signedLeb(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signedLeb(value >> 7)]
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content]
}

const ADDRESS = 0
const LENGTH = 1
const CRC = 2
/** Of the stretches behind the first. */
const OTHER_CRCS = [3, 4, 5] as const
const i32 = 0x7f
const i64 = 0x7e

/** Pushes table[slice][byte number `byte` of a local CRC]. */
function lookUp(slice: number, byte: number, crc = CRC): number[] {
  return [
    ...op.getLocal(crc),
    ...op.i64const(byte * 8),
    ...op.i64shiftRightUnsigned,
    ...op.i32wrapI64,
    ...op.i32const(0xff),
    ...op.i32and,
    ...op.i32const(3),
    ...op.i32shiftLeft,
    ...op.i64load(slice * TABLE_BYTES),
  ]
}

function advance(bytes: number): number[] {
  return [
    ...[...op.getLocal(ADDRESS), ...op.i32const(bytes), ...op.i32add, ...op.setLocal(ADDRESS)],
    ...[...op.getLocal(LENGTH), ...op.i32const(bytes), ...op.i32subtract, ...op.setLocal(LENGTH)],
  ]
}

/** Takes the eight bytes at ADDRESS + offset into a local CRC. */
function eightBytesInto(crc: number, offset = 0): number[] {
  const slices = Array.from({ length: SLICES }, (_, byte) => [
    ...lookUp(SLICES - 1 - byte, byte, crc),
    ...(byte === 0 ? [] : op.i64xor),
  ]).flat()
  return [
    ...[...op.getLocal(crc), ...op.getLocal(ADDRESS), ...op.i64load(offset), ...op.i64xor, ...op.setLocal(crc)],
    ...[...slices, ...op.setLocal(crc)],
  ]
}

const whileLoop = (body: readonly number[]) => [...op.block, ...op.loop, ...body, ...op.end, ...op.end]
const whileEight = (body: readonly number[]) =>
  whileLoop([
    ...[...op.getLocal(LENGTH), ...op.i32const(SLICES), ...op.i32lessUnsigned, ...op.branchIf(1)],
    ...body,
    ...[...advance(SLICES), ...op.branch(0)],
  ])

/** crc(address, length, crc): eight bytes a round, then the rest one by one. */
function functionBody(): number[] {
  const oneByte = [
    ...[...op.getLocal(LENGTH), ...op.i32equalsZero, ...op.branchIf(1)],
    ...[...op.getLocal(CRC), ...op.getLocal(ADDRESS), ...op.i64load8u, ...op.i64xor, ...op.setLocal(CRC)],
    ...lookUp(0, 0),
    ...[...op.getLocal(CRC), ...op.i64const(8), ...op.i64shiftRightUnsigned, ...op.i64xor, ...op.setLocal(CRC)],
    ...[...advance(1), ...op.branch(0)],
  ]
  const noLocals = 0
  return [noLocals, ...whileEight(eightBytesInto(CRC)), ...whileLoop(oneByte), ...op.getLocal(CRC), ...op.end]
}

/** crc4(address, length of a stretch, crc): four stretches at once. A CRC is linear, so those behind the first begin with 0. */
function fourStretchesBody(): number[] {
  const locals = [1, OTHER_CRCS.length, i64]
  const round = [CRC, ...OTHER_CRCS].flatMap((crc, stretch) => eightBytesInto(crc, stretch * STRETCH_BYTES))
  const join = (crc: number) => {
    const shifted = Array.from({ length: 8 }, (_, byte) => [
      ...lookUp(SHIFT_TABLES + byte, byte),
      ...(byte === 0 ? [] : op.i64xor),
    ]).flat()
    return [...shifted, ...op.getLocal(crc), ...op.i64xor, ...op.setLocal(CRC)]
  }
  return [...locals, ...whileEight(round), ...OTHER_CRCS.flatMap(join), ...op.getLocal(CRC), ...op.end]
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const name = (text: string) => [text.length, ...Buffer.from(text)]
  const bodies = [functionBody(), fourStretchesBody()].map((body) => [...leb(body.length), ...body])
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, i32, i32, i64, 1, i64]),
    ...section(3, [2, 0, 0]),
    ...section(5, [1, 0, PAGES]),
    ...section(7, [3, ...name('memory'), 2, 0, ...name('crc'), 0, 0, ...name('crc4'), 0, 1]),
    ...section(10, [bodies.length, ...bodies.flat()]),
  ])
}

interface Engine {
  readonly step: Step
  readonly fourStretches: Step
  readonly input: Uint8Array
}

let instance: Engine | undefined

function engine(): Engine {
  if (instance) return instance
  const { memory, crc, crc4 } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports
  const { buffer } = memory as { readonly buffer: ArrayBuffer }
  const step = crc as unknown as Step
  fillTables(new BigUint64Array(buffer, 0, SLICES * 256))
  // The input is all zeros yet.
  fillShiftTables(new BigUint64Array(buffer, SHIFT_TABLES * TABLE_BYTES, 8 * 256), (crc) =>
    step(INPUT_AT, STRETCH_BYTES, crc),
  )
  instance = { step, fourStretches: crc4 as unknown as Step, input: new Uint8Array(buffer, INPUT_AT) }
  return instance
}

/** What becomes of each of the 64 bits gives what becomes of any byte. */
function fillShiftTables(tables: BigUint64Array, overZeros: (crc: bigint) => bigint): void {
  for (let bit = 0; bit < 64; bit++) {
    const moved = BigInt.asUintN(64, overZeros(1n << BigInt(bit)))
    const at = (bit >> 3) * 256
    const mask = 1 << (bit & 7)
    for (let byte = 0; byte < 256; byte++) if (byte & mask) tables[at + byte] = (tables[at + byte] ?? 0n) ^ moved
  }
}

/** The CRC-64/NVME of what `crc` was the CRC of, followed by `bytes`; 0n for the start. */
export function crc64nvme(bytes: Uint8Array, crc = 0n): bigint {
  const { step, fourStretches, input } = engine()
  let state = crc ^ ALL_ONES
  for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
    const piece = bytes.subarray(at, at + INPUT_BYTES)
    input.set(piece)
    state =
      piece.length === INPUT_BYTES ? fourStretches(INPUT_AT, STRETCH_BYTES, state) : step(INPUT_AT, piece.length, state)
  }
  return BigInt.asUintN(64, state) ^ ALL_ONES
}
