import { createHash } from 'node:crypto'
import { type Database, MIN_PART_BYTES, type Transaction } from '../../kernel/index.ts'
import { ContentGone, InvalidPart, InvalidPartOrder, PartTooSmall } from '../model/index.ts'
import { decodeEntry } from '../tree/index.ts'
import type { PartInfo, Uploads } from '../uploads.ts'
import type { PartRow } from './schema.ts'

type CompleteInput = Parameters<Uploads['complete']>[3]

/** The rows of the parts that a Complete names. Throws InvalidPart, InvalidPartOrder, PartTooSmall. */
export async function namedParts(
  db: Pick<Database, 'all'>,
  id: string,
  named: CompleteInput['parts'],
): Promise<readonly PartRow[]> {
  if (named.length === 0) throw new InvalidPart('a Complete must name at least one part')
  const rows = await db.all<PartRow>('SELECT * FROM parts WHERE upload_id = ? ORDER BY number', [id])
  const byNumber = new Map(rows.map((row) => [row.number, row]))
  let previous = 0
  const parts: PartRow[] = []
  for (const [index, { number, etag }] of named.entries()) {
    if (number <= previous)
      throw new InvalidPartOrder('the parts must be named in ascending order, each once', { number })
    previous = number
    const row = byNumber.get(number)
    if (!row || row.md5 !== etag) {
      throw new InvalidPart(`part ${number} was not uploaded, or its ETag is another`, { number, etag })
    }
    if (index < named.length - 1 && row.size < MIN_PART_BYTES) {
      throw new PartTooSmall(`part ${number} has ${row.size} bytes; every part but the last needs ${MIN_PART_BYTES}`, {
        number,
        etag,
        size: row.size,
        minimum: MIN_PART_BYTES,
      })
    }
    parts.push(row)
  }
  return parts
}

/** The list of parts was made of these rows. If one was uploaded again since, what it held may be collected. Throws ContentGone. */
export async function refuseReplaced(tx: Transaction, id: string, parts: readonly PartRow[]): Promise<void> {
  const same = await tx.get<{ count: number }>(
    `SELECT count(*) AS count FROM json_each(?) AS named
     CROSS JOIN parts AS p ON p.upload_id = ? AND p.number = named.value ->> 0 AND p.entry = unhex(named.value ->> 1)`,
    [JSON.stringify(parts.map(({ number, entry }) => [number, entry.toString('hex')])), id],
  )
  if (same!.count === parts.length) return
  throw new ContentGone('a part was uploaded again while the upload was completed: complete it once more', {
    upload: id,
  })
}

/** The MD5 of an object in parts, as S3 computes it, without the number of parts. */
export function md5OfMd5s(parts: readonly PartRow[]): string {
  const hash = createHash('md5')
  for (const part of parts) hash.update(part.md5, 'hex')
  return hash.digest('hex')
}

export function partOf(row: PartRow): PartInfo {
  const { checksum } = decodeEntry(row.entry)
  return {
    number: row.number,
    size: row.size,
    md5: row.md5,
    modifiedMs: row.modified_ms,
    ...(checksum ? { checksum } : {}),
  }
}
