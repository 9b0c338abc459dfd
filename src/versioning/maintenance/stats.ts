import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Database, errnoOf, peekSqlite } from '../../kernel/index.ts'
import type { RepoName } from '../model/index.ts'
import type { RepoStats, StoreStats } from '../stats.ts'

/** Files asked for their size at once. */
const FILES_AT_ONCE = 64

/** What is counted. */
export interface StatsPlace {
  readonly db: Database
  readonly databaseFile: string
  readonly nodesFile: string
  readonly packsFolder: string
}

/** Counts rows and files; no tree and no content is read. */
export async function readStats({ db, databaseFile, nodesFile, packsFolder }: StatsPlace): Promise<StoreStats> {
  const repos = await repoStats(db)
  const chunks = await db.get<{ count: number; bytes: number }>(
    'SELECT count(*) AS count, coalesce(sum(length), 0) AS bytes FROM chunk',
  )
  const doomed = await db.get<{ count: number; bytes: number }>(
    'SELECT count(*) AS count, coalesce(sum(length), 0) AS bytes FROM doomed_chunk',
  )
  const versions = await db.get<{ n: number }>('SELECT count(*) AS n FROM changes')
  const heads = await db.get<{ files: number; bytes: number }>(
    `SELECT coalesce(sum(files), 0) AS files, coalesce(sum(bytes), 0) AS bytes FROM commits
     WHERE id IN (SELECT head FROM branches WHERE kind = 'branch')`,
  )
  const [nodes] = await peekSqlite(nodesFile, (all) => all<{ n: number }>('SELECT count(*) AS n FROM node'))
  const packs = await packFiles(packsFolder)
  const bytes = chunks?.bytes ?? 0
  const historyBytes = repos.reduce((sum, repo) => sum + repo.historyBytes, 0)
  return {
    repos,
    commits: repos.reduce((sum, { commits }) => sum + commits, 0),
    versions: versions?.n ?? 0,
    files: heads?.files ?? 0,
    bytes: heads?.bytes ?? 0,
    historyBytes,
    nodes: { count: nodes?.n ?? 0, fileBytes: (await sizeOf(nodesFile)) + (await sizeOf(`${nodesFile}-wal`)) },
    chunks: { count: chunks?.count ?? 0, bytes, doomed: doomed?.count ?? 0, doomedBytes: doomed?.bytes ?? 0 },
    packs,
    metadata: { fileBytes: await sizeOf(databaseFile), logBytes: await sizeOf(`${databaseFile}-wal`) },
    ...(bytes > 0 ? { headRatio: (heads?.bytes ?? 0) / bytes, historyRatio: historyBytes / bytes } : {}),
  }
}

async function repoStats(db: Database): Promise<readonly RepoStats[]> {
  const rows = await db.all<Omit<RepoStats, 'repo'> & { repo: string }>(
    `SELECT r.name AS repo,
            (SELECT count(*) FROM branches AS b WHERE b.repo = r.name AND b.kind = 'branch') AS branches,
            count(c.id) AS commits, coalesce(sum(c.bytes), 0) AS historyBytes,
            (SELECT coalesce(sum(files), 0) FROM commits WHERE id IN (
               SELECT head FROM branches AS b WHERE b.repo = r.name AND b.kind = 'branch')) AS files,
            (SELECT coalesce(sum(bytes), 0) FROM commits WHERE id IN (
               SELECT head FROM branches AS b WHERE b.repo = r.name AND b.kind = 'branch')) AS bytes
     FROM repos AS r LEFT JOIN commits AS c ON c.repo = r.name AND c.state = 'finished' GROUP BY r.name ORDER BY r.name`,
  )
  return rows.map((row) => ({ ...row, repo: row.repo as RepoName }))
}

async function packFiles(folder: string): Promise<{ count: number; fileBytes: number }> {
  const total = { count: 0, fileBytes: 0 }
  for (const sub of await readdir(folder, { withFileTypes: true })) {
    if (!sub.isDirectory()) continue
    const files = (await readdir(join(folder, sub.name))).filter((file) => file.endsWith('.pack'))
    for (let at = 0; at < files.length; at += FILES_AT_ONCE) {
      const some = files.slice(at, at + FILES_AT_ONCE)
      const sizes = await Promise.all(some.map((file) => sizeOf(join(folder, sub.name, file))))
      total.count += sizes.length
      total.fileBytes += sizes.reduce((sum, size) => sum + size, 0)
    }
  }
  return total
}

/** 0 if it is not there (any more). */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0
    throw error
  }
}
