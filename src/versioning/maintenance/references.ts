import type { Queries } from '../../kernel/index.ts'
import type { Holder } from '../maintenance.ts'
import type { BranchName, CommitId, Content, Path, RepoName, TreeHash } from '../model/index.ts'
import { decodeEntry } from '../tree/index.ts'

/** Rows read by one statement. */
const ROWS_AT_ONCE = 5_000

/**
 * Trees that a floor above refers to, as SQL over its own tables, so that other threads and offline commands ask the same. All of them
 * must be in the metadata database.
 */
export interface ReferenceSource {
  /** Each yields the columns `root`, `what` (in words) and `id`; rows without a root are passed by. */
  readonly trees: readonly string[]
  /** Commits that it works with, or may take up again: each yields one column, their ids. Retention keeps them. */
  readonly commits?: readonly string[]
  /**
   * Trees that are only worth keeping as long as other things keep their files: results that may be used again. Each yields `root` and
   * `key` (a JSON array); `drop` deletes those of `?` (a JSON array of keys) that may go, and nothing else.
   */
  readonly results?: readonly { readonly select: string; readonly drop: string }[]
  /** Run with the old and the new root when a path is purged from the tree of a commit: the old one is not to be held any more. */
  readonly rewritten?: readonly string[]
  /** Run with the name of a repo that paths were purged from: what was kept of its files, to be used again, goes. */
  readonly purged?: readonly string[]
}

/** Who refers to a tree. */
export interface TreeReference {
  readonly root: TreeHash
  readonly holder: Holder
}

/** Who refers to a content. */
export interface ContentReference {
  readonly content: Content
  readonly holder: Holder
  readonly path?: Path
}

/**
 * Every tree that anything in the rows refers to: commits in every state, branches and transactions, and what the floors above hold.
 * Roots come as often as they are referred to; the empty tree too. Read it from one snapshot of the database.
 */
export async function* treeReferences(
  queries: Queries,
  sources: readonly ReferenceSource[] = [],
): AsyncGenerator<TreeReference> {
  for await (const { root, repo, name, kind } of pages<{
    id: number
    root: string
    repo: string
    name: string
    kind: string
  }>((last) =>
    queries.all(`SELECT id, root, repo, name, kind FROM branches WHERE id > ? ORDER BY id LIMIT ${ROWS_AT_ONCE}`, [
      last?.id ?? 0,
    ]),
  )) {
    yield {
      root: root as TreeHash,
      holder: {
        kind: kind === 'transaction' ? 'transaction' : 'branch',
        repo: repo as RepoName,
        branch: name as BranchName,
      },
    }
  }
  for await (const row of pages<{ number: number; id: string; root: string; repo: string; branch: string }>((last) =>
    queries.all(
      `SELECT number, id, root, repo, branch FROM commits WHERE number > ? ORDER BY number LIMIT ${ROWS_AT_ONCE}`,
      [last?.number ?? 0],
    ),
  )) {
    const { id, root, repo, branch } = row
    const holder: Holder = {
      kind: 'commit',
      repo: repo as RepoName,
      branch: branch as BranchName,
      commit: id as CommitId,
    }
    yield { root: root as TreeHash, holder }
  }
  for (const source of sources) for (const sql of source.trees) yield* othersTrees(queries, sql)
}

async function* othersTrees(queries: Queries, sql: string): AsyncGenerator<TreeReference> {
  let offset = 0
  const rows = pages<{ root: string | null; what: string; id: string }>(() => {
    const page = queries.all<{ root: string | null; what: string; id: string }>(
      `SELECT root, what, id FROM (${sql}) LIMIT ${ROWS_AT_ONCE} OFFSET ?`,
      [offset],
    )
    offset += ROWS_AT_ONCE
    return page
  })
  for await (const { root, what, id } of rows) {
    if (root) yield { root: root as TreeHash, holder: { kind: 'other', what, id } }
  }
}

interface EntryRow {
  readonly branch_id: number
  readonly entry: Buffer
  readonly path: string
}

/**
 * Every content that a row refers to by itself: versions (each acknowledged PUT is one, also when no tree holds it any more), parts of
 * uploads, scratch files. What trees refer to is not among them. Contents come as often as they are referred to; inline ones too.
 */
export async function* contentReferences(queries: Queries): AsyncGenerator<ContentReference> {
  const named = branchNames(queries)
  const changes = pages<EntryRow & { seq: number; commit_id: string }>((last) =>
    queries.all(
      `SELECT branch_id, seq, commit_id, path, entry FROM changes
       WHERE (branch_id, seq) > (?, ?) AND entry IS NOT NULL ORDER BY branch_id, seq LIMIT ${ROWS_AT_ONCE}`,
      [last?.branch_id ?? 0, last?.seq ?? 0],
    ),
  )
  const dropped = await droppedChanges(queries)
  for await (const { branch_id, seq, commit_id, path, entry } of changes) {
    if (seq > (dropped.get(branch_id) ?? seq)) continue
    const holder: Holder = { kind: 'version', ...(await named(branch_id)), commit: commit_id as CommitId }
    yield { content: decodeEntry(entry).content, holder, path: path as Path }
  }
  const parts = pages<EntryRow & { upload_id: string; number: number }>((last) =>
    queries.all(
      `SELECT u.branch_id, u.path, p.upload_id, p.number, p.entry FROM parts AS p CROSS JOIN uploads AS u ON u.id = p.upload_id
       WHERE (p.upload_id, p.number) > (?, ?) ORDER BY p.upload_id, p.number LIMIT ${ROWS_AT_ONCE}`,
      [last?.upload_id ?? '', last?.number ?? 0],
    ),
  )
  for await (const { branch_id, upload_id, path, entry } of parts) {
    const holder: Holder = { kind: 'upload', ...(await named(branch_id)), id: upload_id }
    yield { content: decodeEntry(entry).content, holder, path: path as Path }
  }
  const scratch = pages<EntryRow>((last) =>
    queries.all(
      `SELECT branch_id, path, entry FROM scratch WHERE (branch_id, path) > (?, ?) ORDER BY branch_id, path LIMIT ${ROWS_AT_ONCE}`,
      [last?.branch_id ?? 0, last?.path ?? ''],
    ),
  )
  for await (const { branch_id, path, entry } of scratch) {
    const holder: Holder = { kind: 'scratch', ...(await named(branch_id)), id: path }
    yield { content: decodeEntry(entry).content, holder, path: path as Path }
  }
}

/** By branch: changes above this number are being removed, bit by bit. */
async function droppedChanges(queries: Queries): Promise<ReadonlyMap<number, number>> {
  const rows = await queries.all<{ branch_id: number; from_seq: number }>(
    'SELECT branch_id, min(from_seq) AS from_seq FROM dropped_changes GROUP BY branch_id',
  )
  return new Map(rows.map(({ branch_id, from_seq }) => [branch_id, from_seq]))
}

/** The names of a branch, also of one that is gone. Rows come by branch, so the last one is enough to remember. */
function branchNames(queries: Queries): (id: number) => Promise<{ repo: RepoName; branch: BranchName }> {
  let known: { id: number; repo: RepoName; branch: BranchName } | undefined
  return async (id) => {
    if (known?.id !== id) {
      const row = await queries.get<{ repo: string; branch: string }>(
        `SELECT repo, name AS branch FROM branches WHERE id = ?1
         UNION ALL SELECT repo, branch FROM commits WHERE branch_id = ?1 LIMIT 1`,
        [id],
      )
      known = { id, repo: (row?.repo ?? '') as RepoName, branch: (row?.branch ?? '') as BranchName }
    }
    return { repo: known.repo, branch: known.branch }
  }
}

/** Rows page by page, until one is empty. */
export async function* pages<Row>(read: (last: Row | undefined) => Promise<Row[]>): AsyncGenerator<Row> {
  let last: Row | undefined
  for (;;) {
    const rows = await read(last)
    if (rows.length === 0) return
    yield* rows
    last = rows.at(-1)
  }
}
