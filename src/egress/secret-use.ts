import type { Database } from '../kernel/index.ts'

/** More are not named. */
const MAX_NAMED = 10

/** The ids of pushes that have not ended and sign with this secret; the first of them. */
export async function pushesWithSecret(db: Database, secret: string): Promise<readonly string[]> {
  const rows = await db.all<{ id: string }>(
    `SELECT id FROM egress_push WHERE state IN ('waiting', 'running') AND secret = ? ORDER BY seq LIMIT ?`,
    [secret, MAX_NAMED],
  )
  return rows.map(({ id }) => id)
}
