import { after, before, beforeEach } from 'node:test'
import { type BranchAddress, type Commit, parsePath, type Versioning } from '../index.ts'
import { branchOf, openTestStore, putText, sealCommit, type TestStore } from './store.ts'

/** One store for the tests of a file, with a clock that they set, and for each of them a new repo with a branch. */
export class Timeline {
  now = 0
  /** The branch of this test. */
  at: BranchAddress = branchOf('none@master')
  #store: TestStore | undefined
  #repos = 0

  /** To be called once, outside of all tests. */
  constructor() {
    before(async () => {
      this.#store = await openTestStore({ clock: { now: () => this.now } })
    })
    after(() => this.#store?.close())
    beforeEach(async () => {
      this.now = Date.parse('2026-11-01T00:00:00Z')
      this.at = await this.newRepo('master')
    })
  }

  get versioning(): Versioning {
    if (!this.#store) throw new Error('it is opened before the first test')
    return this.#store.versioning
  }

  /** A branch in a repo that has nothing else. */
  async newRepo(branch: string): Promise<BranchAddress> {
    const { repo, branch: name } = branchOf(`r${++this.#repos}@${branch}`)
    const at = { repo, branch: name }
    await this.versioning.createBranch(at)
    return at
  }

  /** Another branch of a repo, that need not be there. */
  beside(branch: string, { repo }: BranchAddress = this.at): BranchAddress {
    return { repo, branch: branchOf(`x@${branch}`).branch }
  }

  /** Writes texts, deletes where there is none, and makes a commit of that. */
  async commit(files: Readonly<Record<string, string | null>>, to: BranchAddress = this.at): Promise<Commit> {
    for (const [path, text] of Object.entries(files)) {
      if (text === null) await this.versioning.delete(to, parsePath(path))
      else await putText(this.versioning, to, path, text, { author: 'somebody' })
    }
    return sealCommit(this.versioning, to)
  }
}

/** All items of a stream. */
export async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}
