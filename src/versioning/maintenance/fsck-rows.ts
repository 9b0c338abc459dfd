import { open } from 'node:fs/promises'
import { Corrupt, type Database } from '../../kernel/index.ts'
import { nodeMigrations } from '../tree/index.ts'
import type { FsckRun } from './fsck-run.ts'

/** Rows named of one rule; more say no more. */
const MAX_NAMED = 20
/** What `PRAGMA quick_check` and `integrity_check` list at most. */
const MAX_PROBLEMS = 100

/** A rule that rows hold to at every moment, since transactions keep it: a statement that finds those which do not. */
interface Rule {
  readonly says: string
  readonly sql: string
}

interface Found {
  readonly repo: string | null
  readonly branch: string | null
  readonly commit: string | null
}

const HEX64 = (column: string) => `(length(${column}) <> 64 OR ${column} GLOB '*[^0-9a-f]*')`

const ofBranch = (says: string, where: string): Rule => ({
  says,
  sql: `SELECT b.repo, b.name AS branch, NULL AS "commit" FROM branches AS b WHERE ${where}`,
})

const ofCommit = (says: string, where: string): Rule => ({
  says,
  sql: `SELECT c.repo, c.branch, c.id AS "commit" FROM commits AS c WHERE ${where}`,
})

const named = (column: 'head' | 'tip' | 'open_commit', wanted: string) =>
  `b.${column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM commits AS c WHERE c.id = b.${column} AND c.repo = b.repo AND ${wanted})`

const rules: readonly Rule[] = [
  ofBranch('its repo is not there', 'NOT EXISTS (SELECT 1 FROM repos WHERE name = b.repo)'),
  ofBranch('its tree is no hash', HEX64('b.root')),
  ofBranch('its head is no finished commit of its repo', named('head', "c.state = 'finished'")),
  ofBranch('its newest commit is none of its repo', named('tip', "c.state IN ('sealed', 'finished')")),
  ofBranch('its batch is no open commit of it', named('open_commit', "c.state = 'open' AND c.branch_id = b.id")),
  ofBranch('more is folded than was written', 'b.folded_seq > b.last_seq'),
  ofBranch(
    'it has changes with numbers that it has not given out',
    'b.last_seq < (SELECT max(seq) FROM changes WHERE branch_id = b.id)',
  ),
  ofBranch(
    'nothing is waiting to be folded, and it shows another tree than its head',
    `b.folded_seq = b.last_seq AND b.head IS NOT NULL AND b.root <> (SELECT root FROM commits WHERE id = b.head)
     AND NOT EXISTS (SELECT 1 FROM commits WHERE branch_id = b.id AND finished_ms IS NULL AND kind <> 'derived')`,
  ),
  ofBranch(
    'its settings are no JSON',
    'json_valid(b.batch_rules) = 0 OR json_valid(b.cors) = 0 OR json_valid(b.tags) = 0',
  ),
  ofBranch(
    'it has commits with numbers that it has not given out',
    'b.ordinals < (SELECT max(ordinal) FROM commits WHERE branch_id = b.id)',
  ),
  ofCommit('its id is none', "length(c.id) <> 32 OR c.id GLOB '*[^0-9a-f]*'"),
  ofCommit('its tree is no hash', HEX64('c.root')),
  ofCommit(
    'it has an end and is not ended, or the reverse',
    "(c.state IN ('finished', 'failed')) <> (c.finished_ms IS NOT NULL)",
  ),
  ofCommit(
    'it is sealed and its changes have no end',
    "c.state IN ('sealed', 'finished') AND c.kind = 'batch' AND c.last_seq IS NULL",
  ),
  ofCommit('its changes end before they begin', 'c.last_seq < c.from_seq'),
  ofCommit('it was folded beyond its changes', 'c.folded_seq > c.last_seq'),
  ofCommit(
    'it is waiting to be finished, and its parent is gone',
    `c.finished_ms IS NULL AND c.state = 'sealed' AND c.parent IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM commits AS p WHERE p.id = c.parent)`,
  ),
  ofCommit(
    'it is waiting to be folded, and some of its changes are gone',
    `c.finished_ms IS NULL AND c.kind = 'batch' AND EXISTS (SELECT 1 FROM branches AS b WHERE b.id = c.branch_id
       AND (SELECT count(*) FROM changes WHERE branch_id = b.id AND seq > c.folded_seq AND seq <= coalesce(c.last_seq, b.last_seq))
         <> coalesce(c.last_seq, b.last_seq) - c.folded_seq)`,
  ),
  ofCommit(
    'it is open, and its branch does not know of it',
    `c.finished_ms IS NULL AND c.state = 'open' AND c.kind = 'batch'
     AND EXISTS (SELECT 1 FROM branches AS b WHERE b.id = c.branch_id AND b.open_commit IS NOT c.id)`,
  ),
  ofCommit('its failure is no JSON', 'NOT json_valid(c.failure)'),
  ofCommit(
    'its number or times are none',
    "typeof(c.ordinal) <> 'integer' OR typeof(c.started_ms) <> 'integer' OR typeof(c.files) <> 'integer' OR typeof(c.bytes) <> 'integer'",
  ),
  {
    says: 'the tag names a commit that is not there',
    sql: `SELECT t.repo, t.name AS branch, t.commit_id AS "commit" FROM commit_tags AS t
          WHERE NOT EXISTS (SELECT 1 FROM commits AS c WHERE c.id = t.commit_id AND c.repo = t.repo)`,
  },
  {
    says: 'what is kept of it is no JSON',
    sql: 'SELECT name AS repo, NULL AS branch, NULL AS "commit" FROM repos WHERE NOT json_valid(retention)',
  },
  {
    says: 'the tags of a version of it are no JSON',
    sql: `SELECT c.repo, c.branch, c.id AS "commit" FROM version_tags AS t JOIN commits AS c ON c.id = t.commit_id
          WHERE NOT json_valid(t.tags)`,
  },
]

/** Whether rows of the metadata contradict one another. */
export async function checkRows(run: FsckRun): Promise<void> {
  run.counts.branches = (await run.db.get<{ n: number }>('SELECT count(*) AS n FROM branches'))?.n ?? 0
  run.counts.commits = (await run.db.get<{ n: number }>('SELECT count(*) AS n FROM commits'))?.n ?? 0
  for (const { says, sql } of rules) {
    for (const row of await run.db.all<Found>(`${sql} LIMIT ${MAX_NAMED}`)) {
      const { repo, branch, commit } = row
      const where = `${repo ?? ''}${branch === null ? '' : `@${branch}`}${commit === null ? '' : ` commit ${commit}`}`
      run.found({
        kind: 'row',
        severity: 'damage',
        message: `${where}: ${says}`,
        ...(repo === null
          ? {}
          : {
              touched: {
                holders: [{ repo, branch: branch ?? '', ...(commit === null ? {} : { commit }) }],
                holdersTotal: 1,
                paths: [],
                pathsTotal: 0,
              },
            }),
      })
    }
    await run.pace()
  }
}

/** What SQLite itself says of its files; with `deep` also whether every index has what its table has. */
export async function checkDatabases(run: FsckRun): Promise<void> {
  const pragma = run.deep ? 'integrity_check' : 'quick_check'
  for (const [name, db, file] of [
    ['meta.sqlite', run.db, run.databaseFile],
    ['nodes.sqlite', run.nodesDb, run.nodesFile],
  ] as const) {
    await checkFormatVersions(run, name, file)
    await run.guarded(`the pages of ${name}`, async () => {
      for (const row of await db.all<Record<string, string>>(`PRAGMA ${pragma}(${MAX_PROBLEMS})`)) {
        const problem = row[pragma] ?? Object.values(row).join(' ')
        if (problem !== 'ok') run.found({ kind: 'database', severity: 'damage', message: `${name}: ${problem}` })
      }
    })
    await run.pace()
  }
  await run.guarded('the marks of nodes.sqlite', () => checkNodesMarks(run))
}

/** The few rows beside the nodes: which store they are of, and of which version. A server refuses a store where they are wrong. */
async function checkNodesMarks(run: FsckRun): Promise<void> {
  const idOf = async (db: Database) =>
    (await db.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'id'"))?.value.toString('hex')
  if ((await idOf(run.db)) !== (await idOf(run.nodesDb))) {
    const message = 'nodes.sqlite does not have the id of the store that meta.sqlite has'
    run.found({ kind: 'database', severity: 'damage', message })
  }
  const rows = await run.nodesDb.all<{ floor: string; version: number }>('SELECT floor, version FROM schema_version')
  const { floor, migrations } = nodeMigrations
  if (rows.length === 1 && rows[0]!.floor === floor && rows[0]!.version === migrations.length) return
  const says = rows.map((row) => `${row.floor} ${row.version}`).join(', ')
  const message = `nodes.sqlite says that its schema is ${JSON.stringify(says)}, and not ${floor} ${migrations.length}`
  run.found({ kind: 'database', severity: 'damage', message })
}

/** Where the header of a database says by which versions of the format it is written and read: 1, or 2 with a write-ahead log. */
const FORMAT_VERSIONS_AT = 18

/** SQLite's own check looks past them, and then takes the file as one that can only be read. */
async function checkFormatVersions(run: FsckRun, name: string, path: string): Promise<void> {
  const file = await open(path)
  try {
    const versions = Buffer.alloc(2)
    const { bytesRead } = await file.read(versions, 0, versions.length, FORMAT_VERSIONS_AT)
    // A database that was never written back has no header yet.
    if (bytesRead < versions.length || versions.every((version) => version === 1 || version === 2)) return
    const message = `${name}: its header names versions ${versions.join(' and ')} of the format, which SQLite can't write to`
    run.found({ kind: 'database', severity: 'damage', message })
  } finally {
    await file.close()
  }
}

/** Pages of the metadata whose sums are not theirs, with the table or index that they are of. */
export async function tellPages(run: FsckRun, pages: readonly number[]): Promise<void> {
  if (pages.length === 0) return
  const owners = await ownersOf(run, pages)
  for (const page of pages) {
    const owner = owners.get(page)
    const message = `page ${page} of meta.sqlite${owner === undefined ? '' : ` (${owner})`} is not what was written`
    run.found({ kind: 'pages', severity: 'damage', message })
  }
}

async function ownersOf(run: FsckRun, pages: readonly number[]): Promise<ReadonlyMap<number, string>> {
  try {
    const rows = await run.db.all<{ pageno: number; name: string }>(
      'SELECT pageno, name FROM dbstat WHERE pageno IN (SELECT value FROM json_each(?))',
      [JSON.stringify(pages)],
    )
    return new Map(rows.map(({ pageno, name }) => [pageno, name]))
  } catch (error) {
    // The damage may be in the way of knowing whose pages they are.
    if (error instanceof Corrupt) return new Map()
    throw error
  }
}
