import type { Database } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { releasePipeline } from './ledger.ts'

/**
 * What was pushed out of repos that are gone stays at its targets, and belongs to nobody any more: whoever pushes there next may write
 * over it. Not `owner`, who is about to push.
 */
export async function releaseGone(
  db: Database,
  versioning: Pick<Versioning, 'listRepos'>,
  owner: string,
): Promise<void> {
  const owners = await db.all<{ owner: string }>(
    `SELECT DISTINCT pipeline AS owner FROM egress_target AS target WHERE pipeline <> ? AND NOT EXISTS (
       SELECT 1 FROM egress_push AS push WHERE push.pipeline = target.pipeline AND push.state IN ('waiting', 'running'))`,
    [owner],
  )
  if (owners.length === 0) return
  const repos = new Set<string>((await versioning.listRepos()).map(({ name }) => name))
  const gone = owners.filter((row) => !repos.has(row.owner))
  if (gone.length === 0) return
  await db.write(async (tx) => {
    for (const row of gone) await releasePipeline(tx, row.owner)
  })
}
