import { errorMessage } from '../../kernel/index.ts'
import type { TouchedPath } from '../fsck.ts'
import { decodeEntry } from '../tree/index.ts'
import type { ContentClaim } from './fsck-content.ts'
import type { FsckRun } from './fsck-run.ts'

/** Rows read at a time. */
const ROWS_AT_ONCE = 2000

/** A content that a row beside the trees refers to: a version, a part of an upload, a scratch file. */
export interface RowContent extends ContentClaim {
  readonly holder: TouchedPath & { readonly branch: string }
}

type Visit = (contents: readonly RowContent[]) => Promise<void>

interface Row {
  readonly repo: string
  readonly branch: string
  readonly path: string
  readonly entry: Buffer
}

interface ChangeRow extends Row {
  readonly branch_id: number
  readonly seq: number
  readonly commit_id: string
}

/** All rows that hold an entry. What can't be read is told with `tell`; the rest is visited, some thousand at a time. */
export async function visitVersions(run: FsckRun, visit: Visit, tell: boolean): Promise<void> {
  await visitChanges(run, visit, tell)
  await visitTable(run, visit, tell, {
    what: 'a part of an upload',
    sql: `SELECT b.repo, b.name AS branch, u.path, p.entry, p.upload_id AS one, p.number AS other FROM parts AS p
          JOIN uploads AS u ON u.id = p.upload_id JOIN branches AS b ON b.id = u.branch_id
          WHERE (p.upload_id, p.number) > (?, ?) ORDER BY p.upload_id, p.number LIMIT ?`,
    first: ['', 0],
  })
  await visitTable(run, visit, tell, {
    what: 'a scratch file',
    sql: `SELECT b.repo, b.name AS branch, s.path, s.entry, s.branch_id AS one, s.path AS other FROM scratch AS s
          JOIN branches AS b ON b.id = s.branch_id
          WHERE (s.branch_id, s.path) > (?, ?) ORDER BY s.branch_id, s.path LIMIT ?`,
    first: [0, ''],
  })
}

async function visitChanges(run: FsckRun, visit: Visit, tell: boolean): Promise<void> {
  const branches = await run.db.all<{ id: number; repo: string; branch: string }>(
    'SELECT id, repo, name AS branch FROM branches ORDER BY id',
  )
  for (const { id, repo, branch } of branches) {
    let after = 0
    for (;;) {
      const rows = await run.db.all<Omit<ChangeRow, 'repo' | 'branch'>>(
        'SELECT branch_id, seq, commit_id, path, entry FROM changes WHERE branch_id = ? AND seq > ? AND commit_id NOT IN (SELECT commit_id FROM collected_changes) ORDER BY seq LIMIT ?',
        [id, after, ROWS_AT_ONCE],
      )
      if (tell) run.counts.versions += rows.length
      const contents: RowContent[] = []
      for (const row of rows) {
        const version = `${row.commit_id}-${row.seq}`
        if (row.entry !== null) take(run, contents, tell, { ...row, repo, branch }, `version ${version}`, version)
      }
      await visit(contents)
      await run.pace()
      if (rows.length < ROWS_AT_ONCE) break
      after = rows.at(-1)?.seq ?? after
    }
  }
}

async function visitTable(
  run: FsckRun,
  visit: Visit,
  tell: boolean,
  table: { what: string; sql: string; first: readonly [string | number, string | number] },
): Promise<void> {
  let after = table.first
  for (;;) {
    const rows = await run.db.all<Row & { one: string | number; other: string | number }>(table.sql, [
      ...after,
      ROWS_AT_ONCE,
    ])
    const contents: RowContent[] = []
    for (const row of rows) take(run, contents, tell, row, table.what)
    await visit(contents)
    await run.pace()
    const last = rows.at(-1)
    if (last === undefined || rows.length < ROWS_AT_ONCE) return
    after = [last.one, last.other]
  }
}

function take(run: FsckRun, into: RowContent[], tell: boolean, row: Row, what: string, version?: string): void {
  const { repo, branch, path } = row
  const holder = { repo, branch, path, ...(version === undefined ? {} : { version }) }
  try {
    const { content, size } = decodeEntry(row.entry)
    if (content.kind === 'inline' && content.bytes.length === size) return
    into.push({ content, size, holder })
  } catch (error) {
    if (!tell) return
    run.found({
      kind: 'row',
      severity: 'damage',
      message: `${repo}@${branch}:${path}: the row of ${what} can't be read: ${errorMessage(error)}`,
      touched: {
        holders: [{ repo, branch }],
        holdersTotal: 1,
        paths: [{ repo, path, ...(version ? { version } : {}) }],
        pathsTotal: 1,
      },
    })
  }
}
