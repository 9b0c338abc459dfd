import { type Database, DomainError, type Metrics } from '../kernel/index.ts'

/** What a worker tells of the pushes that it runs. */
export interface EgressMeter {
  /** Bytes that have arrived at a target. */
  arrived(bytes: number): void
  /** `error`: what a push failed by. */
  ended(result: 'success' | 'failed', error?: unknown): void
}

/** Why pushes fail, as far as it decides who is to do something about it. */
const FAILURES = ['denied', 'not-found', 'full', 'throttled', 'unreachable', 'refused', 'secret', 'other'] as const
type Failure = (typeof FAILURES)[number]

const failureOfCode: Readonly<Record<string, Failure>> = {
  StoreDenied: 'denied',
  ObjectNotFound: 'not-found',
  StoreFull: 'full',
  StoreThrottled: 'throttled',
  StoreUnreachable: 'unreachable',
  StoreRejected: 'refused',
  StorePreconditionFailed: 'refused',
  SecretNotFound: 'secret',
}
/** Errors tell what they come from. */
const MAX_CAUSES = 10

/** Registers the metrics of egress; what is returned counts pushes and bytes. */
export function measureEgress(metrics: Metrics, db: Pick<Database, 'all' | 'get'>): EgressMeter {
  const bytes = metrics.counter('sluice_egress_sent_bytes_total', 'Bytes that have arrived at targets.')()
  const pushes = metrics.counter('sluice_egress_pushes_total', 'Pushes that have ended, by result.', ['result'])
  // There from the start, so that a first failure is seen as a rise.
  for (const result of ['success', 'failed'] as const) pushes(result)
  const failures = metrics.counter('sluice_egress_failures_total', 'Pushes that have failed, by what they failed by.', [
    'kind',
  ])
  for (const kind of FAILURES) failures(kind)
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
  metrics.read('sluice_egress_bytes_left', 'Bytes that the pushes which run have still to send.', async () => {
    const row = await db.get<{ n: number | null }>(
      "SELECT sum(max(0, bytes_total - bytes_done)) AS n FROM egress_push WHERE state = 'running'",
    )
    return row?.n ?? 0
  })
  return {
    // An upload that begins again takes back what it had counted; what was sent was sent.
    arrived: (count) => {
      if (count > 0) bytes.add(count)
    },
    ended: (result, error) => {
      pushes(result).add()
      if (result === 'failed') failures(failureOf(error)).add()
    },
  }
}

function failureOf(error: unknown): Failure {
  let cause = error
  for (let depth = 0; depth < MAX_CAUSES && cause instanceof Error; depth++) {
    const known = cause instanceof DomainError ? failureOfCode[cause.code] : undefined
    if (known) return known
    cause = cause.cause
  }
  return 'other'
}
