import { NewerStore } from '../errors.ts'
import type { Database, MigrationSet } from './queries.ts'

/**
 * Brings the database up to the newest version of every floor, each step in a transaction of its own. A store of a newer release is
 * refused (NewerStore) before anything is changed.
 */
export async function migrate(db: Database, sets: readonly MigrationSet[]): Promise<void> {
  await db.write((tx) =>
    tx.run(
      'CREATE TABLE IF NOT EXISTS schema_version (floor TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID',
    ),
  )
  const rows = await db.all<{ floor: string; version: number }>('SELECT floor, version FROM schema_version')
  const found = new Map(rows.map((row) => [row.floor, row.version]))
  for (const { floor, migrations } of sets) {
    const known = migrations.at(-1)?.version ?? 0
    const version = found.get(floor) ?? 0
    if (version > known) throw new NewerStore(floor, version, known)
  }
  for (const { floor, migrations } of sets) {
    const version = found.get(floor) ?? 0
    for (const [index, step] of migrations.entries()) {
      if (step.version !== index + 1) throw new Error(`migrations of ${floor} are not numbered 1, 2, 3 …`)
      if (step.version <= version) continue
      await db.write(async (tx) => {
        for (const sql of step.up) await tx.run(sql)
        await tx.run(
          'INSERT INTO schema_version (floor, version) VALUES (?, ?) ON CONFLICT (floor) DO UPDATE SET version = excluded.version',
          [floor, step.version],
        )
      })
    }
  }
}
