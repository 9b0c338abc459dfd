import { errorMessage, StorageFull } from '../../../kernel/index.ts'
import type { HistoryContext } from '../context.ts'

/** How often it is looked; what is swept is a day old. */
const SWEEP_MS = 10 * 60_000
/** After a failure (a full disk, a busy database) it is tried again. */
const RETRY_MS = 5_000
/** A scratch folder is removed so long after its last write. */
export const SCRATCH_LIFE_MS = 24 * 3_600_000
/** Rows removed by one transaction: writers wait for no more. */
const ROWS_AT_ONCE = 1_000
/** Scratch folders, and branches, looked at by one sweep; the next goes on. */
const MAX_AT_ONCE = 1_000

/** Removes what nobody will ask for again: old scratch folders, and the changes of transactions that have ended and of branches that were deleted. */
export class Sweeper {
  readonly #context: Pick<HistoryContext, 'db' | 'clock' | 'log'>
  readonly #onSwept: () => void
  readonly #retryMs: number
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #wanted = false
  #closed = false

  constructor(
    context: Pick<HistoryContext, 'db' | 'clock' | 'log'>,
    onSwept: () => void,
    { retryMs = RETRY_MS }: { retryMs?: number } = {},
  ) {
    this.#context = context
    this.#onSwept = onSwept
    this.#retryMs = retryMs
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), SWEEP_MS)
    this.#timer.unref()
    this.wake()
  }

  /** Sweeps now; if it does already, it will once more: it may have passed by what this is about. */
  wake(): void {
    if (this.#closed) return
    this.#wanted = this.#running !== undefined
    this.#running ??= this.sweep()
      .catch((error: unknown) => {
        // Nothing is lost by it: the next sweep finds the same rows.
        const level = error instanceof StorageFull ? 'warn' : 'error'
        this.#context.log[level]({ err: error }, `sweeping failed, it is tried again: ${errorMessage(error)}`)
        this.#retryLater()
      })
      .finally(() => {
        this.#running = undefined
        if (this.#wanted) this.wake()
      })
  }

  #retryLater(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.wake(), this.#retryMs)
    this.#retry.unref()
  }

  /** One sweep. */
  async sweep(): Promise<void> {
    await this.#sweepScratch()
    await this.#sweepChanges()
    this.#onSwept()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    clearTimeout(this.#retry)
    await this.#running
  }

  /** A folder goes as a whole: a long job may still need what it wrote a day ago. */
  async #sweepScratch(): Promise<void> {
    const { db, clock } = this.#context
    const old = await db.all<{ branch_id: number; area: string }>(
      `SELECT branch_id, area FROM scratch INDEXED BY scratch_by_area GROUP BY branch_id, area
       HAVING max(at_ms) < ? LIMIT ${MAX_AT_ONCE}`,
      [clock.now() - SCRATCH_LIFE_MS],
    )
    for (const { branch_id, area } of old) {
      await this.#inSlices(
        `DELETE FROM scratch WHERE (branch_id, path) IN (
           SELECT branch_id, path FROM scratch INDEXED BY scratch_by_area WHERE branch_id = ?1 AND area = ?2
           -- Not if somebody came back to it.
           AND (SELECT max(at_ms) FROM scratch WHERE branch_id = ?1 AND area = ?2) < ?3 LIMIT ${ROWS_AT_ONCE})`,
        [branch_id, area, clock.now() - SCRATCH_LIFE_MS],
      )
    }
  }

  async #sweepChanges(): Promise<void> {
    const { db } = this.#context
    const dropped = await db.all<{ branch_id: number; from_seq: number }>(
      `SELECT branch_id, from_seq FROM dropped_changes LIMIT ${MAX_AT_ONCE}`,
    )
    for (const { branch_id, from_seq } of dropped) {
      const ended = await this.#inSlices(
        `DELETE FROM changes WHERE branch_id = ?1 AND seq IN (
           SELECT seq FROM changes WHERE branch_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ${ROWS_AT_ONCE})`,
        [branch_id, from_seq],
      )
      if (!ended) return
      await db.write((tx) =>
        // More of it may have been dropped meanwhile.
        tx.run('DELETE FROM dropped_changes WHERE branch_id = ? AND from_seq >= ?', [branch_id, from_seq]),
      )
    }
    // There may be more.
    if (dropped.length === MAX_AT_ONCE) this.#wanted = true
  }

  /** False if the store was closed before the end. */
  async #inSlices(sql: string, params: readonly (string | number)[]): Promise<boolean> {
    while (!this.#closed) {
      const removed = await this.#context.db.write((tx) => tx.run(sql, params))
      if (removed < ROWS_AT_ONCE) return true
    }
    return false
  }
}
