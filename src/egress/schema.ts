import type { MigrationSet } from '../kernel/index.ts'

/** The tables of egress, for `migrate`. */
export const egressMigrations: MigrationSet = {
  floor: 'egress',
  migrations: [
    {
      version: 1,
      up: [
        // One row for each job whose output is to be pushed; in the order of asking.
        `CREATE TABLE egress_push (
          seq INTEGER PRIMARY KEY,
          job TEXT NOT NULL UNIQUE,
          pipeline TEXT NOT NULL,
          repo TEXT NOT NULL,
          commit_id TEXT NOT NULL,
          root TEXT NOT NULL,
          url TEXT NOT NULL,
          secret TEXT,
          provenance TEXT NOT NULL,
          state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'success', 'failed')),
          attempt INTEGER NOT NULL DEFAULT 0,
          lease_until_ms INTEGER NOT NULL DEFAULT 0,
          files_total INTEGER NOT NULL DEFAULT 0,
          files_done INTEGER NOT NULL DEFAULT 0,
          files_skipped INTEGER NOT NULL DEFAULT 0,
          files_deleted INTEGER NOT NULL DEFAULT 0,
          bytes_total INTEGER NOT NULL DEFAULT 0,
          bytes_done INTEGER NOT NULL DEFAULT 0,
          reason TEXT
        ) STRICT`,
        `CREATE INDEX egress_push_unended ON egress_push (pipeline, seq) WHERE state IN ('waiting', 'running')`,
        // A bucket at an endpoint. Its keys belong to one pipeline each, whatever folder they were written through.
        `CREATE TABLE egress_location (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT`,
        // The tree that a pipeline's target folder holds, and the one on its way there.
        `CREATE TABLE egress_target (
          location INTEGER NOT NULL,
          folder TEXT NOT NULL,
          pipeline TEXT NOT NULL,
          root TEXT,
          pending_root TEXT,
          files INTEGER NOT NULL DEFAULT 0,
          PRIMARY KEY (location, folder, pipeline)
        ) STRICT, WITHOUT ROWID`,
        // The ledger. sent: the target holds what the fingerprint says. owned: we have surely written the key once.
        `CREATE TABLE egress_object (
          location INTEGER NOT NULL,
          key TEXT NOT NULL,
          pipeline TEXT NOT NULL,
          fingerprint TEXT NOT NULL,
          size INTEGER NOT NULL,
          etag TEXT,
          sent INTEGER NOT NULL,
          owned INTEGER NOT NULL,
          PRIMARY KEY (location, key)
        ) STRICT, WITHOUT ROWID`,
        `CREATE TABLE egress_upload (
          location INTEGER NOT NULL,
          key TEXT NOT NULL,
          pipeline TEXT NOT NULL,
          fingerprint TEXT NOT NULL,
          upload_id TEXT NOT NULL,
          part_bytes INTEGER NOT NULL,
          PRIMARY KEY (location, key)
        ) STRICT, WITHOUT ROWID`,
      ],
    },
  ],
}
