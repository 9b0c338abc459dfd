import { type Clock, type Database, InvalidInput } from '../../kernel/index.ts'
import { type RepoName, RepoNotFound } from '../model/index.ts'
import type { ExpiredCommit, Retention, RetentionPolicy } from '../retention.ts'
import { expiredCommits } from './expired.ts'
import type { ReferenceSource } from './references.ts'

/** A hundred years: more is a slip of the pen. */
const MAX_DAYS = 36_500
const MAX_COMMITS = 1_000_000_000

/** The rules of repos, kept with their rows. */
export class StoredRetention implements Retention {
  readonly #db: Database
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #sources: readonly ReferenceSource[]

  constructor(parts: { db: Database; clock: Clock; graceMs: number; sources: readonly ReferenceSource[] }) {
    this.#db = parts.db
    this.#clock = parts.clock
    this.#graceMs = parts.graceMs
    this.#sources = parts.sources
  }

  async get(repo: RepoName): Promise<RetentionPolicy | undefined> {
    const row = await this.#db.get<{ retention: string | null }>('SELECT retention FROM repos WHERE name = ?', [repo])
    if (!row) throw new RepoNotFound(repo)
    return row.retention === null ? undefined : (JSON.parse(row.retention) as RetentionPolicy)
  }

  async set(repo: RepoName, policy: RetentionPolicy | undefined): Promise<void> {
    const text = policy === undefined ? null : JSON.stringify(checked(policy))
    const found = await this.#db.write((tx) => tx.run('UPDATE repos SET retention = ? WHERE name = ?', [text, repo]))
    if (found === 0) throw new RepoNotFound(repo)
  }

  async *preview(repo: RepoName, policy?: RetentionPolicy): AsyncGenerator<ExpiredCommit> {
    const own = await this.get(repo)
    const only = { repo, policy: policy === undefined ? own : checked(policy) }
    for await (const slice of expiredCommits(this.#db, { ...this.expiry(), only })) yield* slice
  }

  /** What `expiredCommits` is asked with. */
  expiry(): { readonly nowMs: number; readonly graceMs: number; readonly sources: readonly ReferenceSource[] } {
    return { nowMs: this.#clock.now(), graceMs: this.#graceMs, sources: this.#sources }
  }
}

function checked(policy: RetentionPolicy): RetentionPolicy {
  const { keepDays, keepCommits } = policy
  if (keepDays === undefined && keepCommits === undefined) {
    throw new InvalidInput(
      'a retention says how many days, or how many commits of each branch, are kept: keepDays, keepCommits',
    )
  }
  for (const [name, value, most] of [
    ['keepDays', keepDays, MAX_DAYS],
    ['keepCommits', keepCommits, MAX_COMMITS],
  ] as const) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most)) {
      throw new InvalidInput(`${name} must be a whole number from 1 to ${most}`)
    }
  }
  return { ...(keepDays === undefined ? {} : { keepDays }), ...(keepCommits === undefined ? {} : { keepCommits }) }
}
