import type { Database, Transaction } from '../kernel/index.ts'
import type { Ledger, LedgerEntry } from './ledger.ts'
import { LEDGER_BATCH } from './limits.ts'

/**
 * Writes what was sent into the ledger while the next files are on their way: whatever has arrived during one transaction goes
 * with the next, so that many small files share a sync of the disk.
 */
export class Recorder {
  readonly #db: Database
  readonly #ledger: Ledger
  readonly #renew: (tx: Transaction) => Promise<void>
  #waiting: LedgerEntry[] = []
  #writing: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(db: Database, ledger: Ledger, renew: (tx: Transaction) => Promise<void>) {
    this.#db = db
    this.#ledger = ledger
    this.#renew = renew
  }

  /** Throws what an earlier write failed with; a push must not go on sending what it can't note. */
  add(entry: LedgerEntry): void {
    if (this.#failure) throw this.#failure.error
    this.#waiting.push(entry)
    this.#writing ??= this.#write()
  }

  /** Resolves when all is in the ledger. Throws what a write failed with. */
  async flush(): Promise<void> {
    await this.#writing
    if (this.#failure) throw this.#failure.error
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.splice(0, LEDGER_BATCH)
        await this.#db.write(async (tx) => {
          await this.#renew(tx)
          await this.#ledger.sent(tx, batch)
        })
      }
    } catch (error) {
      this.#failure = { error }
    }
    this.#writing = undefined
  }
}
