export type { Database, Migration, MigrationSet, Queries, SqlValue, Transaction } from './queries.ts'
