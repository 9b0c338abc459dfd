import { digestOnce } from '../../kernel/index.ts'

/** CRC-32C of some bytes, as a number without a sign. */
export function crc32cOf(bytes: Buffer): number {
  return digestOnce(['crc32c'], bytes).crc32c.readUInt32BE()
}

export function crc32cHex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}

/** As Google writes it: base64 of four bytes, the highest first. */
export function crc32cBase64(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}

/** Castagnoli's polynomial, lowest power in the highest bit. */
const POLYNOMIAL = 0x82f63b78

/** x to the power of 2^n modulo the polynomial, for lengths up to 2^60 bits. */
const powers = squares(64)

/**
 * The CRC-32C of two runs of bytes one after the other, from that of each and the length of the second: multiplication by
 * x^(8·length) modulo the polynomial (M. Adler, zlib, crc32_combine).
 */
export function combineCrc32c(first: number, second: number, secondBytes: number): number {
  return (multiply(byteShift(secondBytes), first) ^ second) >>> 0
}

function byteShift(bytes: number): number {
  let product = 0x80000000
  // Eight bits a byte: 2^3.
  for (let rest = bytes, power = 3; rest > 0; rest = Math.floor(rest / 2), power++) {
    if (rest % 2 === 1) product = multiply(powers[power]!, product)
  }
  return product
}

function squares(count: number): readonly number[] {
  const table = [0x40000000]
  while (table.length < count) table.push(multiply(table.at(-1)!, table.at(-1)!))
  return table
}

/** Of polynomials over two elements, modulo the polynomial. */
function multiply(left: number, right: number): number {
  let product = 0
  let shifted = right
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) product ^= shifted
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1
  }
  return product >>> 0
}
