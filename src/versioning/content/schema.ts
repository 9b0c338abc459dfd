/**
 * Tables of the content store, part of the first migration of this floor. `chunk` holds published chunks only: bytes at
 * [offset, offset + length) of the pack; the record's header stands before. A shared pack is open while it is appended to; a pack
 * that one upload has to itself is open until that upload is published.
 */
export const contentSchema: readonly string[] = [
  `CREATE TABLE pack (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('open', 'sealed')),
    shared INTEGER NOT NULL CHECK (shared IN (0, 1))
  )`,
  `CREATE INDEX pack_open ON pack (id) WHERE state = 'open'`,
  `CREATE TABLE chunk (
    sha256 BLOB NOT NULL PRIMARY KEY,
    pack INTEGER NOT NULL REFERENCES pack (id),
    "offset" INTEGER NOT NULL,
    length INTEGER NOT NULL
  ) WITHOUT ROWID`,
  'CREATE INDEX chunk_by_pack ON chunk (pack, "offset")',
]

/** What garbage collection needs, part of the third migration of this floor. */
export const collectedSchema: readonly string[] = [
  // Chunks that nothing refers to: they can be read, and brought back, until their rows and their bytes go.
  `CREATE TABLE doomed_chunk (
    sha256 BLOB NOT NULL PRIMARY KEY, length INTEGER NOT NULL, doomed_ms INTEGER NOT NULL
  ) WITHOUT ROWID`,
  'CREATE INDEX doomed_chunk_by_time ON doomed_chunk (doomed_ms)',
  // Commits that are gone, and the changes that are still to go with them.
  `CREATE TABLE collected_changes (
    commit_id TEXT PRIMARY KEY, branch_id INTEGER NOT NULL, from_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL
  ) WITHOUT ROWID`,
  // What was taken out of history, and why. The rows stay.
  `CREATE TABLE purges (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo TEXT NOT NULL, path TEXT NOT NULL, prefix INTEGER NOT NULL, reason TEXT NOT NULL,
    asked_by TEXT NOT NULL, asked_ms INTEGER NOT NULL, finished_ms INTEGER, commits INTEGER NOT NULL DEFAULT 0,
    versions INTEGER NOT NULL DEFAULT 0
  )`,
  // 1: its file is being removed; nothing is published in it any more.
  'ALTER TABLE pack ADD COLUMN going INTEGER NOT NULL DEFAULT 0 CHECK (going IN (0, 1))',
]
