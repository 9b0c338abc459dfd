import { type Database, type Role, roles, type Transaction } from '../../kernel/index.ts'
import { type RepoName, RepoNotFound } from '../model/index.ts'
import type { Roles } from '../roles.ts'

/** Owners that were asked for lately. */
const MAX_OWNERS = 10_000

/** Roles on repos, as rows beside the repo: they are made and removed in its own transactions. */
export class RepoRoles implements Roles {
  readonly #db: Database
  readonly #listeners = new Set<() => void>()
  readonly #owners = new Map<RepoName, string | undefined>()
  /** Raised by every change: what was read before it is not kept. */
  #generation = 0

  constructor(db: Database) {
    this.#db = db
  }

  async list(repo: RepoName): ReturnType<Roles['list']> {
    await this.ownerOf(repo)
    return this.#db.all<{ user: string; role: Role }>(
      'SELECT user, role FROM repo_roles WHERE repo = ? ORDER BY user',
      [repo],
    )
  }

  async of(user: string): Promise<ReadonlyMap<string, Role>> {
    const rows = await this.#db.all<{ repo: string; role: string }>(
      'SELECT repo, role FROM repo_roles WHERE user = ?',
      [user],
    )
    // A role that this release does not know gives no right.
    return new Map(
      rows.flatMap(({ repo, role }) => roles.filter((known) => known === role).map((known) => [repo, known])),
    )
  }

  async set(repo: RepoName, user: string, role: Role | undefined): Promise<void> {
    await this.#db.write(async (tx) => {
      if (!(await tx.get('SELECT 1 FROM repos WHERE name = ?', [repo]))) throw new RepoNotFound(repo)
      if (role === undefined) await tx.run('DELETE FROM repo_roles WHERE repo = ? AND user = ?', [repo, user])
      else await setRole(tx, repo, user, role)
      tx.afterCommit(this.changed)
    })
  }

  async forget(user: string): Promise<void> {
    await this.#db.write(async (tx) => {
      await tx.run('DELETE FROM repo_roles WHERE user = ?', [user])
      tx.afterCommit(this.changed)
    })
  }

  async ownerOf(repo: RepoName): Promise<string | undefined> {
    if (this.#owners.has(repo)) return this.#owners.get(repo)
    const generation = this.#generation
    const row = await this.#db.get<{ owner: string | null }>('SELECT owner FROM repos WHERE name = ?', [repo])
    if (!row) throw new RepoNotFound(repo)
    const owner = row.owner ?? undefined
    if (generation === this.#generation && this.#owners.size < MAX_OWNERS) this.#owners.set(repo, owner)
    return owner
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** To be called when a repo was made or removed, before that is answered. */
  readonly changed = (): void => {
    this.#generation++
    this.#owners.clear()
    for (const listener of this.#listeners) listener()
  }
}

export async function setRole(tx: Transaction, repo: string, user: string, role: Role): Promise<void> {
  await tx.run(
    'INSERT INTO repo_roles (repo, user, role) VALUES (?, ?, ?) ON CONFLICT (user, repo) DO UPDATE SET role = excluded.role',
    [repo, user, role],
  )
}
