import type { MigrationSet } from '../../kernel/index.ts'

/** The tables of secrets, for `migrate`. */
export const cloudMigrations: MigrationSet = {
  floor: 'cloud',
  migrations: [
    {
      version: 1,
      up: [
        `CREATE TABLE secret (
          name TEXT PRIMARY KEY,
          kind TEXT NOT NULL CHECK (kind = 's3'),
          access_key_id TEXT NOT NULL,
          sealed BLOB NOT NULL,
          endpoint TEXT,
          region TEXT,
          created_ms INTEGER NOT NULL
        ) STRICT`,
      ],
    },
    {
      version: 2,
      up: [
        // identity: access key id, client email or account; with name and kind it is what the sealed part is bound to.
        // details: what else may be shown of it, as JSON.
        `CREATE TABLE secret_2 (
          name TEXT PRIMARY KEY,
          kind TEXT NOT NULL CHECK (kind IN ('s3', 'gcs', 'azure')),
          identity TEXT NOT NULL,
          sealed BLOB NOT NULL,
          endpoint TEXT,
          region TEXT,
          details TEXT NOT NULL,
          created_ms INTEGER NOT NULL,
          updated_ms INTEGER NOT NULL
        ) STRICT`,
        `INSERT INTO secret_2 (name, kind, identity, sealed, endpoint, region, details, created_ms, updated_ms)
         SELECT name, kind, access_key_id, sealed, endpoint, region, '{}', created_ms, created_ms FROM secret`,
        'DROP TABLE secret',
        'ALTER TABLE secret_2 RENAME TO secret',
      ],
    },
  ],
}
