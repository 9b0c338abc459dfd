import type { Queries } from '../../../kernel/index.ts'
import type { VersionId } from '../../model/index.ts'

/** Commits whose place is remembered. */
const MAX_REMEMBERED = 10_000

/**
 * On a branch where versioning was enabled later, what was there before has the version `null`. Enabling seals the open batch, so that
 * each commit is wholly before or after it.
 */
export class NullVersions {
  readonly #queries: Queries
  readonly #known = new Map<string, boolean>()

  constructor(queries: Queries) {
    this.#queries = queries
  }

  /** Whether this version, which the branch shows, is called `null` there: it was not written on it since the number `from`. */
  async includes(branchId: number, from: number, version: VersionId): Promise<boolean> {
    const key = `${branchId} ${version.commit}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const row = await this.#queries.get('SELECT 1 FROM commits WHERE id = ? AND branch_id = ? AND from_seq >= ?', [
      version.commit,
      branchId,
      from,
    ])
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear()
    this.#known.set(key, row === undefined)
    return row === undefined
  }
}
