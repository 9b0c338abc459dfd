import type { Database } from '../../../kernel/index.ts'
import { type BranchAddress, type BranchName, BranchNotFound, type FileEntry, PathNotFound } from '../../model/index.ts'
import { readOnlyReason } from '../branches.ts'
import type { Views } from '../views.ts'

/**
 * Keeps what stands beside the versions of protected branches: other branches, commits and transactions show the same versions, and would
 * change their tags and ACLs under another name.
 */
export class KeptVersions {
  readonly #db: Database
  readonly #views: Pick<Views, 'find'>

  constructor(db: Database, views: Pick<Views, 'find'>) {
    this.#db = db
    this.#views = views
  }

  /** Throws ReadOnly if a protected branch of the repo made that version, or has it as what is newest of the path. */
  async refuse(at: BranchAddress, file: Pick<FileEntry, 'path' | 'version'>): Promise<void> {
    const kept = await this.#db.all<{ name: string; made: number }>(
      `SELECT b.name, b.id = (SELECT branch_id FROM commits WHERE id = ?) AS made
       FROM branches AS b WHERE b.repo = ? AND b.protected = 1 AND b.name <> ? ORDER BY b.name`,
      [file.version.commit, at.repo, at.branch],
    )
    for (const { name, made } of kept) {
      const branch = { repo: at.repo, branch: name as BranchName }
      if (made !== 1 && !(await this.#shows(branch, file))) continue
      throw readOnlyReason(branch, { pipeline: null, protected: 1 })!
    }
  }

  async #shows(branch: BranchAddress, { path, version }: Pick<FileEntry, 'path' | 'version'>): Promise<boolean> {
    try {
      const { entry } = await this.#views.find({ kind: 'branch', ...branch }, path)
      return entry.version.commit === version.commit && entry.version.seq === version.seq
    } catch (error) {
      // The branch may have gone meanwhile.
      if (error instanceof PathNotFound || error instanceof BranchNotFound) return false
      throw error
    }
  }
}
