const letGo = (name: string, when: string, condition: string) => `CREATE TRIGGER ${name} AFTER ${when}
  WHEN ${condition} EXISTS (SELECT 1 FROM collecting) BEGIN INSERT OR IGNORE INTO let_go (root) VALUES (OLD.root); END`

/**
 * While garbage is collected, the trees that commits and branches referred to and no longer do are written down, in the transaction that
 * takes them from there: somebody may have read one before, and be making another tree of it.
 */
export const letGoSchema: readonly string[] = [
  'CREATE TABLE collecting (id INTEGER PRIMARY KEY CHECK (id = 1))',
  'CREATE TABLE let_go (root TEXT PRIMARY KEY) WITHOUT ROWID',
  ...['commits', 'branches'].flatMap((table) => [
    letGo(`${table}_deleted`, `DELETE ON ${table}`, ''),
    letGo(`${table}_rewritten`, `UPDATE OF root ON ${table}`, 'OLD.root <> NEW.root AND'),
  ]),
]
