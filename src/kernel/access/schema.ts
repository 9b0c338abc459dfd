import type { MigrationSet } from '../database/index.ts'

/** Who may use the server. What they may do on a repo stands with the repos. */
export const accessMigrations: MigrationSet = {
  floor: 'access',
  migrations: [
    {
      version: 1,
      up: [
        // A deleted user's row stays: it still names the owner and the author of what was written.
        `CREATE TABLE users (
          id TEXT PRIMARY KEY,
          name TEXT NOT NULL,
          email TEXT,
          admin INTEGER NOT NULL CHECK (admin IN (0, 1)),
          may_create_repos INTEGER NOT NULL CHECK (may_create_repos IN (0, 1)),
          root INTEGER NOT NULL DEFAULT 0 CHECK (root IN (0, 1)),
          created_ms INTEGER NOT NULL,
          deleted_ms INTEGER
        ) STRICT, WITHOUT ROWID`,
        'CREATE UNIQUE INDEX users_by_name ON users (name) WHERE deleted_ms IS NULL',
        'CREATE UNIQUE INDEX users_by_email ON users (email) WHERE deleted_ms IS NULL AND email IS NOT NULL',
        'CREATE UNIQUE INDEX users_root ON users (root) WHERE root = 1',
        `CREATE TABLE user_keys (
          access_key_id TEXT PRIMARY KEY,
          user_id TEXT NOT NULL REFERENCES users (id),
          sealed BLOB NOT NULL,
          created_ms INTEGER NOT NULL,
          expires_ms INTEGER
        ) STRICT, WITHOUT ROWID`,
        'CREATE INDEX user_keys_by_user ON user_keys (user_id)',
      ],
    },
  ],
}
