import { type Clock, type Database, errorMessage, type Log, type Metrics } from '../../kernel/index.ts'

/** What is remembered of the upkeep of a store. */
interface UpkeepRecords {
  /** Collections that came to their end; of purges, too. */
  readonly gc: { readonly endedMs: number; readonly runs: number; readonly reclaimedBytes: number }
  /** The last check of each depth that came to a verdict. */
  readonly fsck: { readonly endedMs: number; readonly faults: number }
  readonly deepFsck: { readonly endedMs: number; readonly faults: number }
  /** The last backup that is whole, wherever it was made. */
  readonly backup: { readonly endedMs: number; readonly runs: number }
}

/** Rows of the store, and not of the process: a restart must look neither like neglect nor like care. */
const keyOf = (work: keyof UpkeepRecords) => `upkeep:${work}`

interface RecordPlace {
  readonly db: Pick<Database, 'write'>
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
}

/** A collection has come to its end, and not only looked. */
export function recordGc(place: RecordPlace, reclaimedBytes: number): Promise<void> {
  return record(place, 'gc', (endedMs, last) => ({
    endedMs,
    runs: (last?.runs ?? 0) + 1,
    // Packs that are being rewritten may take more for once; a counter does not go back.
    reclaimedBytes: (last?.reclaimedBytes ?? 0) + Math.max(0, reclaimedBytes),
  }))
}

/** A check has come to a verdict. A deep one looks at all that a quick one does. */
export async function recordFsck(place: RecordPlace, check: { deep: boolean; faults: number }): Promise<void> {
  const fresh = (endedMs: number) => ({ endedMs, faults: check.faults })
  await record(place, 'fsck', fresh)
  if (check.deep) await record(place, 'deepFsck', fresh)
}

/** A backup is whole at its place. */
export function recordBackup(place: RecordPlace): Promise<void> {
  return record(place, 'backup', (endedMs, last) => ({ endedMs, runs: (last?.runs ?? 0) + 1 }))
}

/** When the store was last collected, checked and backed up, and what came of it; read when somebody asks. */
export function measureUpkeep(metrics: Metrics, db: Pick<Database, 'get'>): void {
  const seconds = (record: { readonly endedMs: number } | undefined) => (record?.endedMs ?? 0) / 1000
  metrics.read(
    'sluice_gc_last_time_seconds',
    'When garbage was last collected, in seconds since 1970; 0: never.',
    async () => seconds(await read(db, 'gc')),
  )
  metrics.read(
    'sluice_gc_runs_total',
    'Collections of garbage that came to their end, since the store was made.',
    async () => (await read(db, 'gc'))?.runs ?? 0,
    { type: 'counter' },
  )
  metrics.read(
    'sluice_gc_reclaimed_bytes_total',
    'What collections have made packs smaller by, since the store was made.',
    async () => (await read(db, 'gc'))?.reclaimedBytes ?? 0,
    { type: 'counter' },
  )
  const depths = [
    ['quick', 'fsck'],
    ['deep', 'deepFsck'],
  ] as const
  const byDepth = async (value: (record: UpkeepRecords['fsck'] | undefined) => number) => {
    const samples: [readonly string[], number][] = []
    for (const [depth, work] of depths) samples.push([[depth], value(await read(db, work))])
    return samples
  }
  metrics.read(
    'sluice_fsck_last_time_seconds',
    'When the store was last checked to the end, in seconds since 1970; 0: never. A deep check is a quick one, too.',
    () => byDepth(seconds),
    { labels: ['depth'] },
  )
  metrics.read(
    'sluice_fsck_last_faults',
    'What that check has found damaged and could not mend.',
    () => byDepth((record) => record?.faults ?? 0),
    { labels: ['depth'] },
  )
  metrics.read(
    'sluice_backup_last_time_seconds',
    'When the last backup was made, in seconds since 1970; 0: never.',
    async () => seconds(await read(db, 'backup')),
  )
  metrics.read(
    'sluice_backups_total',
    'Backups that were made, since the store was made.',
    async () => (await read(db, 'backup'))?.runs ?? 0,
    { type: 'counter' },
  )
}

async function read<Work extends keyof UpkeepRecords>(
  db: Pick<Database, 'get'>,
  work: Work,
): Promise<UpkeepRecords[Work] | undefined> {
  const row = await db.get<{ value: Buffer }>('SELECT value FROM store WHERE key = ?', [keyOf(work)])
  return row && (JSON.parse(row.value.toString('utf8')) as UpkeepRecords[Work])
}

/** What was done is done, and is told to whoever asked for it, also where there is no room (or no sound database) to remember it. */
async function record<Work extends keyof UpkeepRecords>(
  { db, clock, log }: RecordPlace,
  work: Work,
  next: (endedMs: number, last: UpkeepRecords[Work] | undefined) => UpkeepRecords[Work],
): Promise<void> {
  try {
    await db.write(async (tx) => {
      const value = Buffer.from(JSON.stringify(next(clock.now(), await read(tx, work))))
      await tx.run(
        'INSERT INTO store (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        [keyOf(work), value],
      )
    })
  } catch (error) {
    log.warn({ err: error, work }, `the metrics will not know of this run: ${errorMessage(error)}`)
  }
}
