/**
 * Just enough to put small WebAssembly modules together by hand: what has to look at every byte, and what would take plain JavaScript
 * several times as long, is written in its instructions, so that no binary has to be trusted.
 */

/** The part of the standard global that is used; neither the ES nor the Node types declare it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

export const WASM_PAGE_BYTES = 65_536
/** Magic number and version 1. */
export const WASM_HEADER: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
/** Types of values. */
export const i32 = 0x7f
export const i64 = 0x7e

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)]
}

function signedLeb(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signedLeb(value >> 7)]
}

const blockStart = [0x02, 0x40] as const
const loopStart = [0x03, 0x40] as const
const end = [0x0b] as const

/** The instructions used, by their names in the WebAssembly core specification, chapter 5.4. */
export const op = {
  block: blockStart,
  loop: loopStart,
  branchIf: (depth: number) => [0x0d, depth],
  branch: (depth: number) => [0x0c, depth],
  if: [0x04, 0x40],
  return: [0x0f],
  drop: [0x1a],
  end,
  getLocal: (index: number) => [0x20, index],
  setLocal: (index: number) => [0x21, index],
  teeLocal: (index: number) => [0x22, index],
  getGlobal: (index: number) => [0x23, index],
  setGlobal: (index: number) => [0x24, index],
  i32const: (value: number) => [0x41, ...signedLeb(value)],
  i64const: (value: number) => [0x42, ...signedLeb(value)],
  i32load8u: (offset: number) => [0x2d, 0, ...leb(offset)],
  i64load: (offset: number) => [0x29, 3, ...leb(offset)],
  i64load8u: [0x31, 0, 0],
  i32lessUnsigned: [0x49],
  i32atLeastUnsigned: [0x4f],
  i32equalsZero: [0x45],
  i64lessUnsigned: [0x54],
  i32add: [0x6a],
  i32subtract: [0x6b],
  i32and: [0x71],
  i32shiftLeft: [0x74],
  i32wrapI64: [0xa7],
  i64add: [0x7c],
  i64shiftLeft: [0x86],
  i64shiftRightUnsigned: [0x88],
  i64xor: [0x85],
  /** A block around a loop: branch 0 goes round again, branch 1 leaves. */
  whileLoop: (body: readonly number[]) => [...blockStart, ...loopStart, ...body, ...end, ...end],
} as const

export function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content]
}

export function nameBytes(text: string): number[] {
  return [text.length, ...Buffer.from(text)]
}

/** The content of the code section: each body begins with its locals and ends with `op.end`. */
export function codeBytes(bodies: readonly (readonly number[])[]): number[] {
  return [bodies.length, ...bodies.flatMap((body) => [...leb(body.length), ...body])]
}

/** What a module exports: its memory, and functions that the caller knows the types of. */
export function startModule(bytes: Uint8Array<ArrayBuffer>): {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly [name: string]: unknown
} {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  return exports as ReturnType<typeof startModule>
}
