import type { Database, Queries } from '../../../kernel/index.ts'
import type { CommitTag, CommitTags } from '../../commit-tags.ts'
import {
  BranchExists,
  type BranchName,
  type CommitId,
  CommitNotFound,
  type RepoName,
  RepoNotFound,
  TagExists,
  TagNotFound,
} from '../../model/index.ts'
import { unavailable } from '../commits.ts'
import type { HistoryContext } from '../context.ts'
import type { CommitTagRow } from '../schema.ts'
import { readTag } from './commit-tag-rows.ts'

/** Tags in one answer at most; there is `after` for the rest. */
const MAX_TAGS = 1_000
/** Up to so many of the whole store are kept in memory: every request to a bucket asks whether its name is a tag. */
const MAX_REMEMBERED = 20_000

/** Tags of commits, as rows beside the branches. */
export class StoredCommitTags implements CommitTags {
  readonly #context: Pick<HistoryContext, 'db' | 'clock'>
  readonly #names: TagNames

  constructor(context: Pick<HistoryContext, 'db' | 'clock'>) {
    this.#context = context
    this.#names = new TagNames(context.db)
  }

  async create(
    ...[repo, name, commit, input = {}]: Parameters<CommitTags['create']>
  ): ReturnType<CommitTags['create']> {
    const { db, clock } = this.#context
    const kind = await db.write(async (tx) => {
      const known = await readTag(tx, repo, name)
      if (known && known.commit_id !== commit) throw new TagExists(repo, name)
      await refuseUnfinished(tx, repo, commit)
      if (known) return 'existing'
      if (await tx.get('SELECT 1 FROM branches WHERE repo = ? AND name = ?', [repo, name])) {
        throw new BranchExists(repo, name)
      }
      await tx.run(
        'INSERT INTO commit_tags (repo, name, commit_id, created_ms, author, message) VALUES (?, ?, ?, ?, ?, ?)',
        [repo, name, commit, clock.now(), input.author ?? null, input.message ?? ''],
      )
      tx.afterCommit(this.changed)
      return 'created'
    })
    return { kind, tag: await this.get(repo, name) }
  }

  async get(repo: RepoName, name: BranchName): Promise<CommitTag> {
    const row = await readTag(this.#context.db, repo, name)
    if (!row) throw await missingTag(this.#context.db, repo, name)
    return tagOf(row)
  }

  async list(...[repo, query = {}]: Parameters<CommitTags['list']>): ReturnType<CommitTags['list']> {
    const { db } = this.#context
    const rows = await db.all<CommitTagRow>(
      'SELECT * FROM commit_tags WHERE repo = ? AND name > ? ORDER BY name LIMIT ?',
      [repo, query.after ?? '', Math.min(query.limit ?? MAX_TAGS, MAX_TAGS)],
    )
    if (rows.length === 0) await refuseNoRepo(db, repo)
    return rows.map(tagOf)
  }

  async delete(repo: RepoName, name: BranchName): Promise<void> {
    await this.#context.db.write(async (tx) => {
      const removed = await tx.run('DELETE FROM commit_tags WHERE repo = ? AND name = ?', [repo, name])
      if (removed === 0) throw await missingTag(tx, repo, name)
      tx.afterCommit(this.changed)
    })
  }

  /** The commit that a name in a branch's place is the tag of. */
  find(repo: RepoName, name: BranchName): Promise<CommitId | undefined> {
    return this.#names.find(repo, name)
  }

  /** To be called when tags were made or removed, before that is answered. */
  readonly changed = (): void => this.#names.forget()
}

/** The tags of the store, kept in memory while they are few: no request waits for the database to hear that a name is a branch's. */
class TagNames {
  readonly #db: Database
  #known: Promise<ReadonlyMap<string, CommitId> | 'many'> | undefined

  constructor(db: Database) {
    this.#db = db
  }

  async find(repo: RepoName, name: BranchName): Promise<CommitId | undefined> {
    this.#known ??= this.#read()
    const known = await this.#known
    if (known !== 'many') return known.get(keyOf(repo, name))
    return (await readTag(this.#db, repo, name))?.commit_id as CommitId | undefined
  }

  forget(): void {
    this.#known = undefined
  }

  #read(): Promise<ReadonlyMap<string, CommitId> | 'many'> {
    const reading = this.#db
      .all<{ repo: string; name: string; commit_id: string }>('SELECT repo, name, commit_id FROM commit_tags LIMIT ?', [
        MAX_REMEMBERED + 1,
      ])
      .then((rows) =>
        rows.length > MAX_REMEMBERED
          ? ('many' as const)
          : new Map(rows.map((row) => [keyOf(row.repo, row.name), row.commit_id as CommitId])),
      )
    reading.catch(() => {
      // Who asked is told; the next one asks again.
      if (this.#known === reading) this.#known = undefined
    })
    return reading
  }
}

/** Neither a repo nor a tag has a slash in its name. */
function keyOf(repo: string, name: string): string {
  return `${repo}/${name}`
}

function tagOf(row: CommitTagRow): CommitTag {
  return {
    repo: row.repo as RepoName,
    name: row.name as BranchName,
    commit: row.commit_id as CommitId,
    createdMs: row.created_ms,
    ...(row.author === null ? {} : { author: row.author }),
    message: row.message,
  }
}

async function refuseUnfinished(queries: Queries, repo: RepoName, commit: CommitId): Promise<void> {
  const row = await queries.get<{ id: string; repo: string; state: string; failure: string | null; kind: string }>(
    'SELECT id, repo, state, failure, kind FROM commits WHERE id = ? AND repo = ?',
    [commit, repo],
  )
  if (row?.state === 'finished') return
  if (row) throw unavailable(row, 'own')
  await refuseNoRepo(queries, repo)
  throw new CommitNotFound(`repo ${repo} has no commit ${commit}`, { repo, commit })
}

async function refuseNoRepo(queries: Queries, repo: RepoName): Promise<void> {
  if (!(await queries.get('SELECT 1 FROM repos WHERE name = ?', [repo]))) throw new RepoNotFound(repo)
}

async function missingTag(queries: Queries, repo: RepoName, name: BranchName): Promise<TagNotFound> {
  await refuseNoRepo(queries, repo)
  return new TagNotFound(repo, name)
}
