import type { Database, Transaction } from '../../../kernel/index.ts'
import type { Sharing } from '../../beside.ts'
import { type BranchAddress, type CannedAccess, isVersion, type VersionId } from '../../model/index.ts'
import { missing, writableBranch } from '../branches.ts'
import type { KeptVersions } from './kept-versions.ts'
import type { Carried } from './place-slice.ts'
import { refuseScratch } from './tags.ts'

/** Who besides its users a branch or a version is shared with: a column of the branch, and rows by version id outside the tree. */
export class StoredSharing implements Sharing {
  readonly #db: Database
  readonly #kept: Pick<KeptVersions, 'refuse'>
  /** Most stores share nothing; whoever has no right is then refused before anything is looked at. */
  #some = false

  constructor(db: Database, kept: Pick<KeptVersions, 'refuse'>) {
    this.#db = db
    this.#kept = kept
  }

  async open(): Promise<void> {
    const row = await this.#db.get(
      'SELECT 1 FROM version_access UNION ALL SELECT 1 FROM branches WHERE access IS NOT NULL LIMIT 1',
    )
    this.#some = row !== undefined
  }

  get some(): boolean {
    return this.#some
  }

  async ofBranch(at: BranchAddress): Promise<CannedAccess> {
    const row = await this.#db.get<{ access: CannedAccess | null }>(
      'SELECT access FROM branches WHERE repo = ? AND name = ?',
      [at.repo, at.branch],
    )
    if (!row) throw await missing(this.#db, at)
    return row.access ?? 'private'
  }

  async ofVersion({ commit, seq }: VersionId): Promise<CannedAccess> {
    if (!this.#some) return 'private'
    const row = await this.#db.get<{ access: CannedAccess }>(
      'SELECT access FROM version_access WHERE commit_id = ? AND seq = ?',
      [commit, seq],
    )
    return row?.access ?? 'private'
  }

  async shareBranch(at: BranchAddress, access: CannedAccess): Promise<void> {
    await this.#db.write(async (tx) => {
      const value = access === 'private' ? null : access
      const changed = await tx.run('UPDATE branches SET access = ? WHERE repo = ? AND name = ?', [
        value,
        at.repo,
        at.branch,
      ])
      if (changed === 0) throw await missing(tx, at)
      if (value) this.#noteShared(tx)
    })
  }

  async shareVersion(...[at, file, access]: Parameters<Sharing['shareVersion']>): Promise<void> {
    await this.#kept.refuse(at, file)
    await this.#db.write(async (tx) => {
      await writableBranch(tx, at)
      await this.write(tx, file.version, access)
    })
  }

  /** As part of the transaction that makes the version. */
  async write(tx: Transaction, version: VersionId, access: CannedAccess): Promise<void> {
    const { commit, seq } = version
    if (access !== 'private') refuseScratch(version, 'an ACL')
    if (access === 'private') {
      await tx.run('DELETE FROM version_access WHERE commit_id = ? AND seq = ?', [commit, seq])
      return
    }
    await tx.run(
      `INSERT INTO version_access (commit_id, seq, access) VALUES (?, ?, ?)
       ON CONFLICT (commit_id, seq) DO UPDATE SET access = excluded.access`,
      [commit, seq, access],
    )
    this.#noteShared(tx)
  }

  /** What the one version is shared with, the other is too. */
  async carry(tx: Transaction, from: VersionId, to: VersionId): Promise<void> {
    // Scratch files share one id: what one of them had, all would have.
    if (!this.#some || !isVersion(to)) return
    await tx.run(
      'INSERT OR REPLACE INTO version_access (commit_id, seq, access) SELECT ?, ?, access FROM version_access WHERE commit_id = ? AND seq = ?',
      [to.commit, to.seq, from.commit, from.seq],
    )
  }

  /** Of several, as `VersionTags.carryAll`. */
  async carryAll(tx: Transaction, to: VersionId['commit'], carried: Carried): Promise<void> {
    if (!this.#some) return
    await tx.run(
      `INSERT OR REPLACE INTO version_access (commit_id, seq, access) SELECT ?, w.value ->> 2, a.access FROM json_each(?) AS w
       CROSS JOIN version_access AS a ON a.commit_id = w.value ->> 0 AND a.seq = w.value ->> 1`,
      [to, JSON.stringify(carried)],
    )
  }

  #noteShared(tx: Transaction): void {
    tx.afterCommit(() => {
      this.#some = true
    })
  }
}
