import type { Database, Metrics } from '../../kernel/index.ts'
import { JOB_STATES } from '../pipelines.ts'
import { unendedSql } from './job-rows.ts'

/** Jobs and datums, counted when somebody asks, by indexes alone. */
export function measureJobs(metrics: Metrics, db: Pick<Database, 'get' | 'all'>): void {
  metrics.read(
    'sluice_jobs',
    'Jobs of the pipelines that there are, by state.',
    async () => {
      const rows = await db.all<{ state: string; n: number }>('SELECT state, count(*) AS n FROM job GROUP BY state')
      return JOB_STATES.map((state) => [[state], rows.find((row) => row.state === state)?.n ?? 0])
    },
    { labels: ['state'] },
  )
  metrics.read(
    'sluice_datums',
    'Datums of the jobs that have not ended, by what became of them.',
    async () => {
      const sums = await db.get<Record<'total' | 'processed' | 'skipped' | 'failed' | 'recovered', number | null>>(
        `SELECT sum(total) AS total, sum(processed) AS processed, sum(skipped) AS skipped, sum(failed) AS failed,
                sum(recovered) AS recovered FROM job WHERE ${unendedSql}`,
      )
      const of = (name: 'total' | 'processed' | 'skipped' | 'failed' | 'recovered') => sums?.[name] ?? 0
      const ended = of('processed') + of('skipped') + of('failed') + of('recovered')
      return [
        [['waiting'], Math.max(0, of('total') - ended)],
        [['processed'], of('processed')],
        [['skipped'], of('skipped')],
        [['failed'], of('failed')],
        [['recovered'], of('recovered')],
      ]
    },
    { labels: ['state'] },
  )
}
