import { type Database, migrate, openSqlite, silentLog, type Transaction } from '../../src/kernel/index.ts'
import { pipelineMigrations } from '../../src/pipelines/index.ts'
import { versioningMigrations } from '../../src/versioning/index.ts'

/** Migrates a database and kills itself before one of the statements: `<file> <how many run before>`. */
const [file, runs] = process.argv.slice(2)
const db = await openSqlite({ file: file!, log: silentLog })
let left = Number(runs)
const dying: Database = Object.create(db, {
  all: { value: db.all.bind(db) },
  write: {
    value: <Result>(work: (tx: Transaction) => Promise<Result>) =>
      db.write((tx) =>
        work({
          ...tx,
          run: (...input) => {
            if (left-- === 0) process.kill(process.pid, 'SIGKILL')
            return tx.run(...input)
          },
        }),
      ),
  },
}) as Database
await migrate(dying, [versioningMigrations, pipelineMigrations])
