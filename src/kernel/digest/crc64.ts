/**
 * CRC-64/NVME (polynomial 0xad93d23594c93659, reflected, initial value and final XOR all ones) in WebAssembly: in plain
 * JavaScript 64-bit steps are BigInts, some hundred times slower. The module is two functions of some 1,000 bytes, put together
 * below, so that no binary has to be trusted; the method is slicing-by-8 (Kounavis and Berry, 2005). A step has to wait for the
 * one before it, so large inputs are taken as four stretches side by side, which are joined at the end.
 */

import { codeBytes, i32, i64, nameBytes, op, section, startModule, WASM_HEADER, WASM_PAGE_BYTES } from './wasm.ts'

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

const ADDRESS = 0
const LENGTH = 1
const CRC = 2
/** Of the stretches behind the first. */
const OTHER_CRCS = [3, 4, 5] as const

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

const whileEight = (body: readonly number[]) =>
  op.whileLoop([
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
  return [noLocals, ...whileEight(eightBytesInto(CRC)), ...op.whileLoop(oneByte), ...op.getLocal(CRC), ...op.end]
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
  return Uint8Array.from([
    ...WASM_HEADER,
    ...section(1, [1, 0x60, 3, i32, i32, i64, 1, i64]),
    ...section(3, [2, 0, 0]),
    ...section(5, [1, 0, PAGES]),
    ...section(7, [3, ...nameBytes('memory'), 2, 0, ...nameBytes('crc'), 0, 0, ...nameBytes('crc4'), 0, 1]),
    ...section(10, codeBytes([functionBody(), fourStretchesBody()])),
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
  const { memory, crc, crc4 } = startModule(moduleBytes())
  const { buffer } = memory
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
