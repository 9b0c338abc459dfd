import { type Database, InvalidInput, type Transaction } from '../../../kernel/index.ts'
import type { ObjectTags } from '../../beside.ts'
import { isVersion, type Tag, type VersionId } from '../../model/index.ts'
import { writableBranch } from '../branches.ts'
import { GroupedReads } from '../grouped-reads.ts'
import type { KeptVersions } from './kept-versions.ts'
import type { Carried } from './place-slice.ts'

const none: readonly Tag[] = []

/** Tags of versions: rows by version id, outside the tree, so that a commit never changes when a tag does. */
export class VersionTags implements ObjectTags {
  readonly #db: Database
  readonly #kept: Pick<KeptVersions, 'refuse'>
  readonly #reads: GroupedReads<VersionId, readonly Tag[]>
  /** Most stores have no tag at all; their reads are not to pay for one statement more. */
  #some = false

  constructor(db: Database, kept: Pick<KeptVersions, 'refuse'>) {
    this.#db = db
    this.#kept = kept
    this.#reads = new GroupedReads((versions) => this.#ask(versions))
  }

  async open(): Promise<void> {
    this.#some = (await this.#db.get('SELECT 1 FROM version_tags LIMIT 1')) !== undefined
  }

  get some(): boolean {
    return this.#some
  }

  async of(version: VersionId): Promise<readonly Tag[]> {
    return this.#some ? this.#reads.ask(version) : none
  }

  async replace(...[at, file, tags]: Parameters<ObjectTags['replace']>): Promise<void> {
    await this.#kept.refuse(at, file)
    await this.#db.write(async (tx) => {
      await writableBranch(tx, at)
      await this.write(tx, file.version, tags)
    })
  }

  /** As part of the transaction that makes the version. */
  async write(tx: Transaction, version: VersionId, tags: readonly Tag[]): Promise<void> {
    const { commit, seq } = version
    if (tags.length === 0) {
      await tx.run('DELETE FROM version_tags WHERE commit_id = ? AND seq = ?', [commit, seq])
      return
    }
    refuseScratch(version, 'tags')
    await tx.run(
      `INSERT INTO version_tags (commit_id, seq, tags) VALUES (?, ?, ?)
       ON CONFLICT (commit_id, seq) DO UPDATE SET tags = excluded.tags`,
      [commit, seq, writeTags(tags)],
    )
    tx.afterCommit(() => {
      this.#some = true
    })
  }

  /** What the one version has, the other has too. */
  async carry(tx: Transaction, from: VersionId, to: VersionId): Promise<void> {
    if (!this.#some || !isVersion(from) || !isVersion(to)) return
    await tx.run(
      'INSERT OR REPLACE INTO version_tags (commit_id, seq, tags) SELECT ?, ?, tags FROM version_tags WHERE commit_id = ? AND seq = ?',
      [to.commit, to.seq, from.commit, from.seq],
    )
  }

  /** Of several: what versions of the one commit are numbered in the other. */
  async carryAll(tx: Transaction, to: VersionId['commit'], carried: Carried): Promise<void> {
    if (!this.#some) return
    await tx.run(
      `INSERT OR REPLACE INTO version_tags (commit_id, seq, tags) SELECT ?, w.value ->> 2, t.tags FROM json_each(?) AS w
       CROSS JOIN version_tags AS t ON t.commit_id = w.value ->> 0 AND t.seq = w.value ->> 1`,
      [to, JSON.stringify(carried)],
    )
  }

  async #ask(versions: readonly VersionId[]): Promise<readonly (readonly Tag[])[]> {
    const rows = await this.#db.all<{ question: number; tags: string }>(
      `SELECT w.key AS question, t.tags FROM json_each(?) AS w
       CROSS JOIN version_tags AS t ON t.commit_id = w.value ->> 0 AND t.seq = w.value ->> 1`,
      [JSON.stringify(versions.map(({ commit, seq }) => [commit, seq]))],
    )
    const answers: (readonly Tag[])[] = versions.map(() => none)
    for (const row of rows) answers[row.question] = readTags(row.tags)
    return answers
  }
}

/** What stands beside the tree hangs on a version, which a scratch file has not. Throws InvalidInput. */
export function refuseScratch(version: VersionId, what: string): void {
  if (isVersion(version)) return
  throw new InvalidInput(
    `files in scratch folders (_temporary/ and the like) are no versions and can't have ${what}: write them without, or to another folder`,
  )
}

/** `[["key","value"], …]`: an object would lose a tag called `__proto__`. */
export function writeTags(tags: readonly Tag[]): string {
  return JSON.stringify(tags.map(({ key, value }) => [key, value]))
}

export function readTags(text: string): readonly Tag[] {
  return (JSON.parse(text) as [string, string][]).map(([key, value]) => ({ key, value }))
}
