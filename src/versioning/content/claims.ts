import type { Transaction } from '../../kernel/index.ts'
import type { StagedContent } from '../content-store.ts'
import { ContentGone } from '../model/index.ts'
import type { ChunkIndex } from './chunk-index.ts'
import type { Marks } from './marks.ts'

/** What a transaction is about to refer to. */
export type Claim = Pick<StagedContent, 'chunks' | 'relies'> & Partial<Pick<StagedContent, 'content' | 'copied'>>

/** A collection that runs: what is claimed meanwhile is marked. */
interface Running {
  readonly marks: Marks
  /** No more is marked from the rows: what is not marked now goes. */
  closed: boolean
  /** Manifests of copies that were made meanwhile: what they refer to is to be marked as well. */
  readonly copied: Buffer[]
}

/**
 * Where those who refer to content and those who remove it meet: in the transaction of whoever comes first. What was found unused and is
 * claimed again before its bytes are gone comes back; what is gone is refused, never referred to.
 */
export class Claims {
  readonly #index: ChunkIndex
  #running: Running | undefined
  /** Packs that are being removed, or are gone: their ids are never used again. */
  readonly #going = new Set<number>()
  /** Whether there may be doomed chunks. */
  #someDoomed: boolean

  constructor(index: ChunkIndex, someDoomed: boolean) {
    this.#index = index
    this.#someDoomed = someDoomed
  }

  /**
   * In the transaction that makes something refer to this, before it writes anything. Throws ContentGone: sent again, it is stored anew.
   */
  async admit(tx: Transaction, { chunks, relies, copied = false, content }: Claim): Promise<void> {
    if (this.#going.size > 0 && chunks.some(({ pack }) => this.#going.has(pack))) throw gone()
    if (this.#running) this.#mark(this.#running, { chunks, relies, copied, ...(content && { content }) })
    if (relies.length === 0) return
    if (this.#someDoomed && copied) await this.#refuseDoomed(tx, relies)
    else if (this.#someDoomed) await this.bringBack(tx, relies)
    await this.#checkPresent(tx, relies)
  }

  /** These are referred to again, if they were doomed. */
  async bringBack(tx: Transaction, chunks: readonly Buffer[]): Promise<void> {
    if (!this.#someDoomed || chunks.length === 0) return
    await tx.run('DELETE FROM doomed_chunk WHERE sha256 IN (SELECT unhex(value) FROM json_each(?))', [jsonOf(chunks)])
  }

  #mark(running: Running, { chunks, relies, copied, content }: Claim): void {
    // Nothing refers to what is not marked by now: what it was copied from is gone, and so may be what it is made of.
    if (copied && running.closed && relies.some((sha256) => !running.marks.has(sha256))) throw gone()
    for (const { sha256 } of chunks) running.marks.add(sha256)
    for (const sha256 of relies) running.marks.add(sha256)
    if (copied && !running.closed && content?.kind === 'manifest') running.copied.push(content.sha256)
  }

  async #refuseDoomed(tx: Transaction, copied: readonly Buffer[]): Promise<void> {
    const doomed = await tx.get(
      'SELECT 1 FROM json_each(?) AS wanted CROSS JOIN doomed_chunk AS d ON d.sha256 = unhex(wanted.value)',
      [jsonOf(copied)],
    )
    if (doomed) throw gone()
  }

  async #checkPresent(tx: Transaction, relies: readonly Buffer[]): Promise<void> {
    const hashes = new Set(relies.map((sha256) => sha256.toString('hex')))
    const found = await tx.get<{ count: number }>(
      'SELECT count(*) AS count FROM json_each(?) AS wanted CROSS JOIN chunk ON chunk.sha256 = unhex(wanted.value)',
      [JSON.stringify([...hashes])],
    )
    if (found!.count === hashes.size) return
    // Else whoever sends it again would find them again.
    for (const sha256 of relies) this.#index.forget(sha256)
    throw gone()
  }

  /** Inside a transaction, so that whatever was claimed before it is in the rows. From here on claims are marked. */
  begin(marks: Marks): void {
    if (this.#running) throw new Error('two collections at once')
    this.#running = { marks, closed: false, copied: [] }
  }

  /** What was copied since it was last asked, and not marked with what it is made of. */
  takeCopied(): readonly Buffer[] {
    return this.#running?.copied.splice(0) ?? []
  }

  /** From here on what is not marked goes; false if there is still something to mark. */
  close(): boolean {
    if (!this.#running || this.#running.copied.length > 0) return false
    this.#running.closed = true
    return true
  }

  /** Whether a chunk was found in use; all are, where no collection runs. */
  isMarked(sha256: Buffer): boolean {
    return this.#running?.marks.has(sha256) ?? true
  }

  end(): void {
    this.#running = undefined
  }

  /** There are (or may be) doomed chunks, or there are none: decided in a transaction. */
  doomed(some: boolean): void {
    this.#someDoomed = some
  }

  /** Called in the transaction that says so, before it commits. */
  packGoing(pack: number): void {
    this.#going.add(pack)
  }
}

function jsonOf(hashes: readonly Buffer[]): string {
  return JSON.stringify(hashes.map((sha256) => sha256.toString('hex')))
}

function gone(): ContentGone {
  return new ContentGone('some of this content was removed from the store just now: send it again')
}
