import type { S3Target } from '../cloud/index.ts'
import { KIB } from '../kernel/index.ts'
import type { FileEntry } from '../versioning/index.ts'
import { parseManifestGlob } from './manifest-glob.ts'
import { isMarker } from './plan.ts'
import type { ManifestSettings } from './settings.ts'

/** A manifest of a million files is 100 MB: it is made in pieces of this size, and never held whole. */
const PIECE_BYTES = 64 * KIB

/**
 * The manifest that Redshift's COPY reads ("Using a manifest to specify data files" in AWS's Redshift guide): `url` is the whole
 * name of one object; `mandatory` makes COPY fail where it is missing; `meta.content_length`, its size in bytes, is required for
 * Parquet and ORC. UTF-8, in the byte order of the names: the same files give the same bytes.
 */
export async function* manifestPieces(
  files: AsyncIterable<FileEntry>,
  { glob }: ManifestSettings,
  { bucket, prefix }: { readonly bucket: S3Target['bucket']; readonly prefix: string },
): AsyncGenerator<Buffer> {
  const matches = glob === undefined ? () => true : parseManifestGlob(glob)
  let text = '{"entries":['
  let separator = '\n'
  for await (const { path, size } of files) {
    if (!isData({ path, size }) || !matches(path)) continue
    const url = `s3://${bucket}/${prefix}${path}`
    text += `${separator}${JSON.stringify({ url, mandatory: true, meta: { content_length: size } })}`
    separator = ',\n'
    if (text.length < PIECE_BYTES) continue
    yield Buffer.from(text)
    text = ''
  }
  yield Buffer.from(`${text}\n]}\n`)
}

/**
 * What COPY has rows to read from: no markers, no empty files, and nothing that readers of folders hide as the bookkeeping of
 * others: names, also of folders, that begin with `.` or `_`, but for partitions of that name (`_day=1`), as Spark has it.
 */
export function isData(file: { readonly path: string; readonly size: number }): boolean {
  if (file.size === 0 || isMarker(file)) return false
  return !file.path.split('/').some((name) => name.startsWith('.') || (name.startsWith('_') && !name.includes('=')))
}
