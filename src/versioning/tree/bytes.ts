import { Corrupt } from '../../kernel/index.ts'

/** Appends to a buffer that grows; `bytes` up to `length` is what was written. */
export class ByteWriter {
  bytes: Buffer
  length = 0

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafe(capacity)
  }

  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }

  byte(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  /** LEB128 of a non-negative safe integer: at most 8 bytes. */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a non-negative whole number: ${value}`)
    this.reserve(8)
    let rest = value
    // Bitwise operators work on 32 bits only.
    while (rest >= 0x8000_0000) {
      this.bytes[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.bytes[this.length++] = rest
  }

  raw(source: Buffer, start = 0, end = source.length): void {
    this.reserve(end - start)
    source.copy(this.bytes, this.length, start, end)
    this.length += end - start
  }

  /** Length and UTF-8. */
  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.varint(length)
    this.reserve(length)
    this.length += this.bytes.write(value, this.length, length, 'utf8')
  }

  /** Text that is mostly lower-case hex (digests, ids), which takes half the room. */
  hexText(value: string): void {
    if (value.length % 2 === 0 && value.length > 0 && /^[0-9a-f]+$/.test(value)) {
      const length = value.length / 2
      this.varint(length * 2 + 1)
      this.reserve(length)
      this.length += this.bytes.write(value, this.length, length, 'hex')
    } else {
      const length = Buffer.byteLength(value)
      this.varint(length * 2)
      this.reserve(length)
      this.length += this.bytes.write(value, this.length, length, 'utf8')
    }
  }
}

/** Reads what ByteWriter wrote; running past the end is Corrupt. */
export class ByteReader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  byte(): number {
    const value = this.bytes[this.at++]
    if (value === undefined) throw new Corrupt('a stored record ends too early')
    return value
  }

  varint(): number {
    let byte = this.byte()
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    let scale = 128
    for (let count = 1; count < 8; count++) {
      byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break
        return value
      }
      scale *= 128
    }
    throw new Corrupt('a stored record has a number that is too large')
  }

  /** Where `length` bytes begin; the reader moves past them. */
  skip(length: number): number {
    const start = this.at
    this.at += length
    if (this.at > this.bytes.length) throw new Corrupt('a stored record ends too early')
    return start
  }

  raw(length: number): Buffer {
    const start = this.skip(length)
    return this.bytes.subarray(start, this.at)
  }

  text(): string {
    const start = this.skip(this.varint())
    return this.bytes.toString('utf8', start, this.at)
  }

  hexText(): string {
    const head = this.varint()
    const start = this.skip(Math.floor(head / 2))
    return this.bytes.toString(head % 2 === 1 ? 'hex' : 'utf8', start, this.at)
  }
}

/** The first byte string that is greater than everything that begins with `prefix`; undefined if there is none. */
export function afterPrefix(prefix: Buffer): Buffer | undefined {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const successor = Buffer.from(prefix.subarray(0, length))
  successor[length - 1] = (successor[length - 1] ?? 0) + 1
  return successor
}

/** Byte by byte, as keys are ordered. */
export function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
}
