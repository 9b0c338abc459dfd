/** One member of an archive that is made for a test or a benchmark. */
export interface TarInput {
  readonly name: string | Buffer
  readonly body?: Buffer | string
  /** Left out: a file. */
  readonly type?: string
  /** Seconds since 1970. */
  readonly mtime?: number
  /** What the header says, if that is another size than the body's. */
  readonly size?: number
  readonly linkname?: string
  readonly magic?: 'ustar' | 'gnu' | 'none'
  readonly prefix?: string
}

const BLOCK = 512

/** A header alone. */
export function tarHeader(input: TarInput, size: number): Buffer {
  const block = Buffer.alloc(BLOCK)
  const name = typeof input.name === 'string' ? Buffer.from(input.name) : input.name
  name.copy(block, 0, 0, 100)
  block.write('0000644\0', 100, 'latin1')
  block.write('0000000\x000000000\0', 108, 'latin1')
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  block.write(`${(input.mtime ?? 0).toString(8).padStart(11, '0')}\0`, 136, 'latin1')
  block.write(input.type ?? '0', 156, 'latin1')
  block.write(input.linkname ?? '', 157, 'utf8')
  if (input.magic !== 'none') block.write(input.magic === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1')
  block.write(input.prefix ?? '', 345, 'utf8')
  return withSum(block)
}

/** Puts in the sum of the bytes. */
export function withSum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** A member with its body and padding. */
export function tarMember(input: TarInput): Buffer {
  const body = Buffer.from(input.body ?? '')
  const padding = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)
  return Buffer.concat([tarHeader(input, input.size ?? body.length), body, padding])
}

/** A pax header that says this of the next member. */
export function paxMember(records: Readonly<Record<string, string | Buffer>>, type = 'x'): Buffer {
  const parts = Object.entries(records).map(([name, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${name}=`), Buffer.from(value), Buffer.from('\n')])
    let length = rest.length + 1
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length
    return Buffer.concat([Buffer.from(String(length)), rest])
  })
  return tarMember({ name: 'pax', type, body: Buffer.concat(parts) })
}

/** The end of an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK)

/** An archive of these. */
export function tarOf(...members: readonly (TarInput | Buffer)[]): Buffer {
  return Buffer.concat([...members.map((one) => (Buffer.isBuffer(one) ? one : tarMember(one))), TAR_END])
}
