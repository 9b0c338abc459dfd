import { hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { Corrupt, errnoOf, type Queries } from '../../kernel/index.ts'
import { packPath } from '../content/index.ts'

/**
 * Reads what trees and manifests consist of, and checks it. Whatever can't be read ends the work: what is below it would be taken for
 * unused. Throws Corrupt.
 */
export class Bodies {
  readonly #parts: { readonly meta: Queries; readonly nodes: Queries; readonly packsFolder: string }

  #stopped = false

  constructor(parts: { readonly meta: Queries; readonly nodes: Queries; readonly packsFolder: string }) {
    this.#parts = parts
  }

  /** From here on every read fails. */
  stop(): void {
    this.#stopped = true
  }

  async node(hash: Buffer): Promise<Buffer> {
    const [body] = await this.nodes([hash])
    return body!
  }

  /** All of them, in any order. */
  async nodes(hashes: readonly Buffer[]): Promise<readonly Buffer[]> {
    if (this.#stopped) throw new Error('it was stopped')
    const rows = await this.#parts.nodes.all<{ hash: Buffer; body: Buffer }>(
      'SELECT node.hash, node.body FROM json_each(?) AS wanted CROSS JOIN node ON node.hash = unhex(wanted.value)',
      [JSON.stringify(hashes.map((bytes) => bytes.toString('hex')))],
    )
    if (rows.length < new Set(hashes.map((bytes) => bytes.toString('hex'))).size) {
      const found = new Set(rows.map((row) => row.hash.toString('hex')))
      const missing = hashes.find((bytes) => !found.has(bytes.toString('hex')))
      throw new Corrupt('a tree node is missing: nothing more is collected; sluice fsck says what it touches', {
        hash: missing?.toString('hex'),
      })
    }
    for (const row of rows) {
      if (!hash('sha256', row.body, 'buffer').equals(row.hash)) {
        throw new Corrupt(
          'a tree node does not match its hash: nothing more is collected; sluice fsck says what it touches',
          {
            hash: row.hash.toString('hex'),
          },
        )
      }
    }
    return rows.map(({ body }) => body)
  }

  /** What a manifest or a chunk is. */
  async chunk(sha256: Buffer): Promise<Buffer> {
    for (let attempt = 0; ; attempt++) {
      const place = await this.#parts.meta.get<{ name: string; offset: number; length: number }>(
        'SELECT p.name, c."offset", c.length FROM chunk AS c JOIN pack AS p ON p.id = c.pack WHERE c.sha256 = ?',
        [sha256],
      )
      const bytes = place && (await readAt(packPath(this.#parts.packsFolder, place.name), place.offset, place.length))
      if (bytes && hash('sha256', bytes, 'buffer').equals(sha256)) return bytes
      // It may have been moved to another pack in between.
      if (attempt === 1) {
        throw new Corrupt('a manifest can not be read: nothing more is collected; sluice fsck says what it touches', {
          sha256: sha256.toString('hex'),
        })
      }
    }
  }
}

async function readAt(path: string, offset: number, length: number): Promise<Buffer | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const bytes = Buffer.alloc(length)
      let at = 0
      while (at < length) {
        const { bytesRead } = await file.read(bytes, at, length - at, offset + at)
        if (bytesRead === 0) return undefined
        at += bytesRead
      }
      return bytes
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
