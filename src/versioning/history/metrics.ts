import type { Database, Metrics } from '../../kernel/index.ts'

/** Commits, counted when somebody asks: by the newest number and an index of the few that are not finished. */
export function measureHistory(metrics: Metrics, db: Pick<Database, 'get' | 'all'>): void {
  metrics.read(
    'sluice_commits_opened_total',
    'Commits that were opened since the store was made.',
    async () => (await db.get<{ n: number }>('SELECT coalesce(max(number), 0) AS n FROM commits'))?.n ?? 0,
    { type: 'counter' },
  )
  metrics.read(
    'sluice_commits_unfinished',
    'Commits that are not finished: open ones gather writes or wait for a pipeline, sealed ones are being folded.',
    async () => {
      const rows = await db.all<{ state: string; derived: number; n: number }>(
        `SELECT state, kind = 'derived' AS derived, count(*) AS n FROM commits INDEXED BY commits_unfinished
         WHERE finished_ms IS NULL GROUP BY 1, 2`,
      )
      const count = (state: string, derived: number) =>
        rows.find((row) => row.state === state && row.derived === derived)?.n ?? 0
      return [
        [['open', 'written'], count('open', 0)],
        [['sealed', 'written'], count('sealed', 0)],
        [['open', 'derived'], count('open', 1)],
        [['sealed', 'derived'], count('sealed', 1)],
      ]
    },
    { labels: ['state', 'kind'] },
  )
}
