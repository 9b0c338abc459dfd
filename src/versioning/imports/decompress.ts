import { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { errnoOf, errorMessage, KIB } from '../../kernel/index.ts'
import { InvalidArchive } from '../model/index.ts'

const gzip = Buffer.from([0x1f, 0x8b])
const zstd = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
const OUT_BYTES = 256 * KIB

/** The archive itself, by what its first bytes say that it is. Throws InvalidArchive. */
export async function* decompressed(archive: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = archive[Symbol.asyncIterator]()
  try {
    const head: Buffer[] = []
    let size = 0
    while (size < zstd.length) {
      const next = await source.next()
      if (next.done) break
      head.push(next.value)
      size += next.value.length
    }
    const first = Buffer.concat(head)
    const rest = resumed(first, source)
    if (first.subarray(0, gzip.length).equals(gzip))
      yield* through(rest, createGunzip({ chunkSize: OUT_BYTES }), 'gzip')
    else if (first.subarray(0, zstd.length).equals(zstd)) {
      yield* through(rest, createZstdDecompress({ chunkSize: OUT_BYTES }), 'zstd')
    } else yield* rest
  } finally {
    await source.return?.()
  }
}

async function* resumed(first: Buffer, source: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first
  for (let next = await source.next(); !next.done; next = await source.next()) yield next.value
}

async function* through(
  source: AsyncIterable<Buffer>,
  decompressor: ReturnType<typeof createGunzip>,
  name: string,
): AsyncGenerator<Buffer> {
  const input = Readable.from(source, { objectMode: false })
  input.on('error', (error) => decompressor.destroy(error))
  try {
    yield* input.pipe(decompressor) as AsyncIterable<Buffer>
  } catch (error) {
    // What zlib says of bytes that it can't make sense of; everything else is the source's own error.
    if (!/^(Z_|ZSTD_|ERR_BUFFER)/.test(errnoOf(error) ?? '')) throw error
    throw new InvalidArchive(`the archive is damaged: its ${name} can't be read (${errorMessage(error)})`, {}, error)
  } finally {
    input.destroy()
    decompressor.destroy()
  }
}
