/**
 * The CRC of two pieces one after the other, from their CRCs and the length of the second (as zlib's crc32_combine does it, over
 * GF(2)): moving a piece forward by n bytes multiplies its CRC by x^(8n) modulo the polynomial.
 */
export interface CrcCombiner {
  /** Big-endian CRCs; the result too. */
  combine(first: Buffer, second: Buffer, secondBytes: number): Buffer
}

type CombinableAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME'

/** Polynomials in reflected form, as the algorithms are defined. */
const polynomials: Readonly<Record<CombinableAlgorithm, { polynomial: bigint; bits: bigint }>> = {
  CRC32: { polynomial: 0xedb88320n, bits: 32n },
  CRC32C: { polynomial: 0x82f63b78n, bits: 32n },
  CRC64NVME: { polynomial: 0x9a6c9329ac4bc9b5n, bits: 64n },
}

export function isCombinable(algorithm: string): algorithm is CombinableAlgorithm {
  return Object.hasOwn(polynomials, algorithm)
}

export function crcCombiner(algorithm: CombinableAlgorithm): CrcCombiner {
  const { polynomial, bits } = polynomials[algorithm]
  const width = Number(bits) / 8
  /** In reflected form the highest bit is the constant term. */
  const one = 1n << (bits - 1n)
  const multiply = (a: bigint, b: bigint): bigint => {
    let product = 0n
    let shifted = b
    for (let bit = one; bit > 0n; bit >>= 1n) {
      if ((a & bit) !== 0n) product ^= shifted
      shifted = (shifted & 1n) === 1n ? (shifted >> 1n) ^ polynomial : shifted >> 1n
    }
    return product
  }
  // The parts of an upload have one size, but for the last: nearly every call finds its power here.
  const powers = new Map<number, bigint>()
  const powerOf = (bytes: number): bigint => {
    const known = powers.get(bytes)
    if (known !== undefined) return known
    let result = one
    let square = one >> 8n
    for (let n = BigInt(bytes); n > 0n; n >>= 1n) {
      if ((n & 1n) === 1n) result = multiply(result, square)
      square = multiply(square, square)
    }
    if (powers.size < 100) powers.set(bytes, result)
    return result
  }
  return {
    combine: (first, second, secondBytes) => {
      const moved = multiply(powerOf(secondBytes), toBigInt(first))
      return toBuffer(moved ^ toBigInt(second), width)
    },
  }
}

function toBigInt(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

function toBuffer(value: bigint, width: number): Buffer {
  return Buffer.from(value.toString(16).padStart(width * 2, '0'), 'hex')
}
