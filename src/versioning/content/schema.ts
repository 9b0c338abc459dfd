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
