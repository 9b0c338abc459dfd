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
    {
      // Pushes get ids of their own (those of before have their job's), so that there can be some without a job.
      version: 2,
      up: [
        'ALTER TABLE egress_push RENAME COLUMN job TO id',
        'ALTER TABLE egress_push ADD COLUMN job TEXT',
        'UPDATE egress_push SET job = id',
        // JSON of PushSettings; null: the plain ones.
        'ALTER TABLE egress_push ADD COLUMN settings TEXT',
        // What pushes of one owner must not be at together: the bucket. Null: not known yet.
        'ALTER TABLE egress_push ADD COLUMN place TEXT',
        // For people.
        'ALTER TABLE egress_push ADD COLUMN created_ms INTEGER',
        'ALTER TABLE egress_push ADD COLUMN started_ms INTEGER',
        'ALTER TABLE egress_push ADD COLUMN ended_ms INTEGER',
        // The canonical id of who asked, and their name then; null: a job.
        'ALTER TABLE egress_push ADD COLUMN asked_by TEXT',
        'ALTER TABLE egress_push ADD COLUMN asked_by_name TEXT',
        // Attempts that do not count against the bound: those before the last retry, and those that were interrupted.
        'ALTER TABLE egress_push ADD COLUMN attempts_forgiven INTEGER NOT NULL DEFAULT 0',
        // When the target was last compared with the ledger, and how much was other than it says. Null: never.
        'ALTER TABLE egress_push ADD COLUMN verified_ms INTEGER',
        'ALTER TABLE egress_push ADD COLUMN drift INTEGER',
        // Hex, of the whole content; null where it is not known.
        'ALTER TABLE egress_object ADD COLUMN md5 TEXT',
        // How long the target's folder is at the beginning of the key, with its slash, in UTF-16 units: one owner may have targets
        // in each other. Null: of a release that did not tell them apart.
        'ALTER TABLE egress_object ADD COLUMN prefix INTEGER',
        // Layout `commit`: the commits' folders at a target. seq: of the newest push of the commit. whole: all of it was there.
        // latest: the one that is named so, and the push that did it.
        `CREATE TABLE egress_folder (
          location INTEGER NOT NULL,
          folder TEXT NOT NULL,
          pipeline TEXT NOT NULL,
          commit_id TEXT NOT NULL,
          seq INTEGER NOT NULL,
          state TEXT NOT NULL,
          whole INTEGER NOT NULL,
          latest INTEGER,
          PRIMARY KEY (location, folder, pipeline, commit_id)
        ) STRICT, WITHOUT ROWID`,
        'CREATE INDEX egress_push_by_repo ON egress_push (repo, seq)',
        'CREATE INDEX egress_push_by_state ON egress_push (state, seq)',
        // What became of each try. `lost`: its process died. `interrupted`: the server was stopped.
        `CREATE TABLE egress_attempt (
          push TEXT NOT NULL,
          attempt INTEGER NOT NULL,
          started_ms INTEGER NOT NULL,
          ended_ms INTEGER,
          result TEXT NOT NULL CHECK (result IN ('running', 'success', 'failed', 'cancelled', 'interrupted', 'lost')),
          reason TEXT,
          files INTEGER NOT NULL DEFAULT 0,
          bytes INTEGER NOT NULL DEFAULT 0,
          PRIMARY KEY (push, attempt)
        ) STRICT, WITHOUT ROWID`,
      ],
    },
    {
      version: 3,
      up: [
        // Of the bytes done, those that an earlier try had sent.
        'ALTER TABLE egress_push ADD COLUMN bytes_before INTEGER NOT NULL DEFAULT 0',
      ],
    },
  ],
}
