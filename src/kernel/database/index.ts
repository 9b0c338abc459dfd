export { migrate } from './migrate.ts'
export type { Database, Migration, MigrationSet, Queries, SqlValue, Transaction } from './queries.ts'
export { lockFolder, openSqlite, type SqliteOptions } from './sqlite.ts'
