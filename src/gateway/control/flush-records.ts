import type { Clock } from '../../kernel/index.ts'
import type { CommitId } from '../../versioning/index.ts'

/** HEAD and GET of `flush.json` come right after each other; after this the answer is made anew. */
const RECORD_LIFE_MS = 5_000
/** Each is some hundred bytes. */
const MAX_RECORDS = 1000

interface FlushRecord {
  readonly madeMs: number
  readonly document: Promise<string>
}

/**
 * The verdicts of flushes by commit, for a short time: HEAD and GET of one commit get the same bytes, and asking again while it still
 * waits joins the one that waits.
 */
export class FlushRecords {
  readonly #clock: Clock
  readonly #records = new Map<CommitId, FlushRecord>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The document of this commit; `make` runs if there is none, and a failure is not kept. */
  get(commit: CommitId, make: () => Promise<string>): Promise<string> {
    const known = this.#records.get(commit)
    if (known && this.#clock.now() - known.madeMs < RECORD_LIFE_MS) return known.document
    const record: { madeMs: number; document: Promise<string> } = { madeMs: Number.POSITIVE_INFINITY, document: make() }
    this.#records.delete(commit)
    this.#records.set(commit, record)
    this.#forgetOldest()
    record.document.then(
      () => {
        record.madeMs = this.#clock.now()
      },
      () => {
        if (this.#records.get(commit) === record) this.#records.delete(commit)
      },
    )
    return record.document
  }

  #forgetOldest(): void {
    for (const commit of this.#records.keys()) {
      if (this.#records.size <= MAX_RECORDS) return
      this.#records.delete(commit)
    }
  }
}
