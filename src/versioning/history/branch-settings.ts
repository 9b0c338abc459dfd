import type { Database } from '../../kernel/index.ts'
import type { BranchSettings, CrossOriginRule } from '../beside.ts'
import type { BranchAddress, Tag } from '../model/index.ts'
import { missing } from './branches.ts'
import { readTags, writeTags } from './files/tags.ts'

type Column = 'cors' | 'tags'

/** What a branch is set to besides its content: columns of its row. They may be set on a pipeline's output too. */
export class StoredBranchSettings implements BranchSettings {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async crossOrigin(at: BranchAddress): Promise<readonly CrossOriginRule[] | undefined> {
    const text = await this.#read(at, 'cors')
    return text === null ? undefined : (JSON.parse(text) as CrossOriginRule[])
  }

  setCrossOrigin(at: BranchAddress, rules: readonly CrossOriginRule[] | undefined): Promise<void> {
    return this.#write(at, 'cors', rules === undefined ? null : JSON.stringify(rules))
  }

  async tags(at: BranchAddress): Promise<readonly Tag[] | undefined> {
    const text = await this.#read(at, 'tags')
    return text === null ? undefined : readTags(text)
  }

  setTags(at: BranchAddress, tags: readonly Tag[] | undefined): Promise<void> {
    return this.#write(at, 'tags', tags === undefined ? null : writeTags(tags))
  }

  async #read(at: BranchAddress, column: Column): Promise<string | null> {
    const row = await this.#db.get<{ value: string | null }>(
      `SELECT ${column} AS value FROM branches WHERE repo = ? AND name = ?`,
      [at.repo, at.branch],
    )
    if (!row) throw await missing(this.#db, at)
    return row.value
  }

  async #write(at: BranchAddress, column: Column, value: string | null): Promise<void> {
    await this.#db.write(async (tx) => {
      const changed = await tx.run(`UPDATE branches SET ${column} = ? WHERE repo = ? AND name = ?`, [
        value,
        at.repo,
        at.branch,
      ])
      if (changed === 0) throw await missing(tx, at)
    })
  }
}
