import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { SqlValue } from './queries.ts'

/** What the builder's statements are run on. */
export interface StatementRunner {
  all<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]>
  run(sql: string, params?: readonly SqlValue[]): Promise<number>
}

/** A Kysely over one side of the database. Transactions are the database's business, so the builder's own are refused. */
export function kyselyOver<Tables>(runner: StatementRunner): Kysely<Tables> {
  const connection: DatabaseConnection = {
    executeQuery: (query) => execute(runner, query),
    streamQuery: () => {
      throw new Error('streaming queries are not supported: page by key instead')
    },
  }
  const driver: Driver = {
    init: async () => {},
    acquireConnection: async () => connection,
    beginTransaction: () => Promise.reject(new Error('use Database.write for a transaction')),
    commitTransaction: async () => {},
    rollbackTransaction: async () => {},
    releaseConnection: async () => {},
    destroy: async () => {},
  }
  const dialect: Dialect = {
    createDriver: () => driver,
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
  return new Kysely<Tables>({ dialect })
}

async function execute<Row>(runner: StatementRunner, query: CompiledQuery): Promise<QueryResult<Row>> {
  const params = query.parameters as readonly SqlValue[]
  const node = query.query
  const returnsRows = node.kind === 'SelectQueryNode' || node.kind === 'RawNode' || 'returning' in node
  if (returnsRows) return { rows: await runner.all<Row>(query.sql, params) }
  return { rows: [], numAffectedRows: BigInt(await runner.run(query.sql, params)) }
}
