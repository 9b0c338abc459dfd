import type { Database, Metrics } from '../kernel/index.ts'

/** What a worker tells of the pushes that it runs. */
export interface EgressMeter {
  /** Bytes that have arrived at a target. */
  arrived(bytes: number): void
  ended(result: 'success' | 'failed'): void
}

/** Registers the metrics of egress; what is returned counts pushes and bytes. */
export function measureEgress(metrics: Metrics, db: Pick<Database, 'all'>): EgressMeter {
  const bytes = metrics.counter('sluice_egress_sent_bytes_total', 'Bytes that have arrived at targets.')()
  const pushes = metrics.counter('sluice_egress_pushes_total', 'Pushes that have ended, by result.', ['result'])
  // There from the start, so that a first failure is seen as a rise.
  for (const result of ['success', 'failed'] as const) pushes(result)
  metrics.read(
    'sluice_egress_pushes_unended',
    'Pushes that wait or run.',
    async () => {
      const rows = await db.all<{ state: string; n: number }>(
        "SELECT state, count(*) AS n FROM egress_push WHERE state IN ('waiting', 'running') GROUP BY state",
      )
      return ['waiting', 'running'].map((state) => [[state], rows.find((row) => row.state === state)?.n ?? 0])
    },
    { labels: ['state'] },
  )
  return {
    // An upload that begins again takes back what it had counted; what was sent was sent.
    arrived: (count) => {
      if (count > 0) bytes.add(count)
    },
    ended: (result) => pushes(result).add(),
  }
}
