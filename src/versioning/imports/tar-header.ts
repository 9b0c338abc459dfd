import { isUtf8 } from 'node:buffer'
import { InvalidArchive } from '../model/index.ts'

/** Everything in a tar archive comes in blocks of this many bytes. */
export const TAR_BLOCK = 512

/** What a header says, as it stands in its block. */
export interface TarHeader {
  /** The type flag as a character; `0` also for what old archives leave empty. */
  readonly type: string
  /** Undefined if it is not UTF-8. */
  readonly name: string | undefined
  readonly size: number
  /** Seconds since 1970. */
  readonly mtime: number
}

/** Fields of a header: where they begin and end. */
const NAME = [0, 100] as const
const SIZE = [124, 136] as const
const MTIME = [136, 148] as const
const SUM = [148, 156] as const
const TYPE = 156
const MAGIC = 257
const PREFIX = [345, 500] as const

/** POSIX has a NUL behind it; what GNU writes there instead says that the prefix field holds other things. */
const ustar = Buffer.from('ustar\0', 'latin1')

const SPACE = 0x20
const ZERO = 0x30

/** `at`: where the block begins in the archive, for the message. Throws InvalidArchive. */
export function readTarHeader(block: Buffer, at: number): TarHeader {
  if (octal(block, SUM) !== sumOf(block)) {
    throw new InvalidArchive(
      at === 0
        ? 'this is not a tar archive (plain, or compressed with gzip or zstd)'
        : `the archive is damaged: the block at byte ${at} is not a header of a file`,
      { at },
    )
  }
  const flag = block[TYPE]!
  let name = nameOf(block, NAME)
  if (block[PREFIX[0]] !== 0 && ustar.equals(block.subarray(MAGIC, MAGIC + ustar.length))) {
    const prefix = nameOf(block, PREFIX)
    name = name === undefined || prefix === undefined ? undefined : `${prefix}/${name}`
  }
  return {
    type: flag === 0 ? '0' : String.fromCharCode(flag),
    name,
    size: numberOf(block, SIZE, at),
    mtime: numberOf(block, MTIME, at),
  }
}

/** Text up to a NUL; undefined if it is not UTF-8. */
export function textOf(bytes: Buffer): string | undefined {
  const end = bytes.indexOf(0)
  const text = end < 0 ? bytes : bytes.subarray(0, end)
  return isUtf8(text) ? text.toString('utf8') : undefined
}

function nameOf(block: Buffer, [start, end]: readonly [number, number]): string | undefined {
  return textOf(block.subarray(start, end))
}

/** All bytes, with the field of the sum itself taken as spaces. */
function sumOf(block: Buffer): number {
  let sum = SPACE * (SUM[1] - SUM[0])
  for (let i = 0; i < SUM[0]; i++) sum += block[i]!
  for (let i = SUM[1]; i < TAR_BLOCK; i++) sum += block[i]!
  return sum
}

/** Octal digits, or GNU's big-endian binary where the first bit is set. */
function numberOf(block: Buffer, field: readonly [number, number], at: number): number {
  const [start, end] = field
  const first = block[start]!
  if (first < 0x80) return octal(block, field) ?? damaged(at)
  // Negative times stand in archives of very old files; a size can't be negative.
  if (first === 0xff) return field === MTIME ? 0 : damaged(at)
  let value = first & 0x7f
  for (let i = start + 1; i < end; i++) value = value * 256 + block[i]!
  return Number.isSafeInteger(value) ? value : damaged(at)
}

function octal(block: Buffer, [start, end]: readonly [number, number]): number | undefined {
  let i = start
  while (i < end && (block[i] === SPACE || block[i] === 0)) i++
  let value = 0
  for (; i < end; i++) {
    const digit = block[i]! - ZERO
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; i < end; i++) if (block[i] !== SPACE && block[i] !== 0) return undefined
  return value
}

function damaged(at: number): never {
  throw new InvalidArchive(`the archive is damaged: the header at byte ${at} has a number that is none`, { at })
}
