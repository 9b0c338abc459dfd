import { createHash } from 'node:crypto'

/** Two versions of a content, and what of the second one is new, in words. */
export interface Versions {
  readonly what: string
  readonly before: Buffer
  /** Made when it is asked for: all of them at once would be gigabytes. */
  readonly after: () => Buffer
}

/** Bytes that look random and are the same in every run. */
export function noise(seed: string, length: number): Buffer {
  const piece = 1 << 20
  const pieces: Buffer[] = []
  for (let at = 0; at < length; at += piece)
    pieces.push(
      createHash('shake256', { outputLength: Math.min(piece, length - at) })
        .update(`${seed} ${at}`)
        .digest(),
    )
  return Buffer.concat(pieces)
}

function insertedAt(bytes: Buffer, at: number, more: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)])
}

/** A body of that many bytes, and edits of 1 % of it. */
export function edits(bytes: number): readonly Versions[] {
  const before = noise('a body', bytes)
  const one = noise('one percent', Math.floor(bytes / 100))
  const middle = Math.floor(bytes / 2) + 1
  const replaced = () => {
    const bytes = Buffer.from(before)
    one.copy(bytes, middle)
    return bytes
  }
  return [
    { what: '1 % appended', before, after: () => Buffer.concat([before, one]) },
    { what: '1 % prepended', before, after: () => Buffer.concat([one, before]) },
    { what: '1 % inserted in the middle', before, after: () => insertedAt(before, middle, one) },
    { what: '1 byte inserted in the middle', before, after: () => insertedAt(before, middle, Buffer.from('x')) },
    { what: '1 % replaced in the middle', before, after: replaced },
    {
      what: '1 % removed from the middle',
      before,
      after: () => Buffer.concat([before.subarray(0, middle), before.subarray(middle + one.length)]),
    },
  ]
}

type Row = readonly [id: number, day: number, amount: number, name: string]

function csv(rows: readonly Row[]): Buffer {
  const text = rows.map(([id, day, amount, name]) => {
    const date = new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10)
    return `${id},${date},${(amount / 100).toFixed(2)},${name},warehouse-${id % 17}\n`
  })
  return Buffer.from(`id,date,amount,customer,place\n${text.join('')}`)
}

/** Tables of about that many bytes. */
export function tables(bytes: number): readonly Versions[] {
  const count = Math.floor(bytes / 52)
  const digits = noise('rows', count * 8)
  const rows = Array.from({ length: count }, (_, i): Row => {
    const amount = digits.readUInt32LE(i * 8) % 1_000_000
    return [i, Math.floor((i * 300) / count), amount, `customer-${digits.readUInt32LE(i * 8 + 4).toString(36)}`]
  })
  const before = csv(rows)
  const raised = (row: Row): Row => [row[0], row[1], row[2] + 1, row[3]]
  const far = Math.floor(count / 10)
  const newRows = rows.slice(0, Math.floor(count / 1000)).map((row): Row => [count + row[0], row[1], row[2], row[3]])
  return [
    {
      what: 'a column changed in the rows of 3 days of 300',
      before,
      after: () => csv(rows.map((row) => (row[1] >= 150 && row[1] < 153 ? raised(row) : row))),
    },
    {
      what: 'a column changed in 10 rows, evenly spread',
      before,
      after: () => csv(rows.map((row) => (row[0] % far === 7 ? raised(row) : row))),
    },
    {
      what: 'a column changed in 1 row of 1,000, evenly spread',
      before,
      after: () => csv(rows.map((row) => (row[0] % 1000 === 7 ? raised(row) : row))),
    },
    { what: '0.1 % of rows inserted at one place', before, after: () => csv(rows.toSpliced(far * 4, 0, ...newRows)) },
    { what: 'sorted by another column', before, after: () => csv(rows.toSorted((a, b) => a[2] - b[2])) },
  ]
}

const TAR_BLOCK = 512

/** One file of a tar, as ustar has it: a header, and the content filled up to whole blocks. */
function tarFile(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(TAR_BLOCK)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, content, Buffer.alloc((TAR_BLOCK - (content.length % TAR_BLOCK)) % TAR_BLOCK)])
}

/** Archives of about that many bytes, of 200 files. */
export function archives(bytes: number): readonly Versions[] {
  const count = 200
  const file = (i: number, version = 0) =>
    tarFile(`folder/file-${i}`, noise(`file ${i} ${version}`, Math.floor(bytes / count) + ((i * 37) % 401)))
  const files = Array.from({ length: count }, (_, i) => file(i))
  const tar = (parts: readonly Buffer[]) => Buffer.concat([...parts, Buffer.alloc(2 * TAR_BLOCK)])
  const before = tar(files)
  return [
    { what: 'a file of 200 replaced', before, after: () => tar(files.with(100, file(100, 1))) },
    { what: 'a file added in the middle of 200', before, after: () => tar(files.toSpliced(100, 0, file(1000))) },
    { what: 'a file added at the end of 200', before, after: () => tar([...files, file(1000)]) },
  ]
}
