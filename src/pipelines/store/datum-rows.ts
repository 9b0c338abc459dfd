import type { Queries, Transaction } from '../../kernel/index.ts'
import type { TreeHash } from '../../versioning/index.ts'
import type { DatumState } from '../pipelines.ts'

/** A datum that a job runs or ran. */
export interface DatumRow {
  readonly id: string
  readonly state: DatumState
  readonly why: string
  readonly attempts: number
  readonly exitCode?: number
  readonly startedMs?: number
  readonly finishedMs?: number
  readonly bytesOut: number
  readonly reason?: string
}

/** What a datum's run came to. */
export interface DatumEnd {
  readonly id: string
  readonly state: 'success' | 'failed' | 'recovered'
  readonly attempts: number
  readonly exitCode?: number
  readonly startedMs: number
  readonly finishedMs: number
  readonly reason?: string
  readonly result?: DatumResult & { readonly fingerprint: Buffer; readonly reusable: boolean }
}

/** The output of a datum that succeeded. */
export interface DatumResult {
  readonly root: TreeHash
  readonly files: number
  readonly sizeBytes: number
  /** Which job ran it. */
  readonly job: string
}

interface DatumColumns {
  readonly id: string
  readonly state: DatumState
  readonly why: string
  readonly attempts: number
  readonly exit_code: number | null
  readonly started_ms: number | null
  readonly finished_ms: number | null
  readonly bytes_out: number
  readonly reason: string | null
}

/** Rows of one statement: keeps the JSON that they are bound as small. */
const SLICE = 5_000

/** Makes the rows of datums that are to run; those of an earlier attempt begin anew. The job's counts follow. */
export async function insertDatums(
  tx: Transaction,
  job: string,
  datums: readonly { id: string; why: string }[],
): Promise<void> {
  for (let at = 0; at < datums.length; at += SLICE) {
    await tx.run(
      `INSERT INTO datum (job, id, state, why)
       SELECT ?, value ->> 'id', 'starting', value ->> 'why' FROM json_each(?) WHERE true
       ON CONFLICT (job, id) DO UPDATE SET state = 'starting', reason = NULL, exit_code = NULL, finished_ms = NULL`,
      [job, JSON.stringify(datums.slice(at, at + SLICE))],
    )
  }
  await tx.run(
    `UPDATE job SET failed = 0, recovered = 0,
       processed = (SELECT COUNT(*) FROM datum WHERE job = job.id AND state = 'success') WHERE id = ?`,
    [job],
  )
}

/** Writes down how datums ended, and keeps the results that may be used again. */
export async function recordDatums(
  tx: Transaction,
  job: string,
  pipeline: string,
  ends: readonly DatumEnd[],
): Promise<void> {
  if (ends.length === 0) return
  const counts = { success: 0, failed: 0, recovered: 0 }
  for (const end of ends) {
    counts[end.state]++
    await recordDatum(tx, job, pipeline, end)
  }
  await tx.run(
    'UPDATE job SET processed = processed + ?, failed = failed + ?, recovered = recovered + ? WHERE id = ?',
    [counts.success, counts.failed, counts.recovered, job],
  )
}

async function recordDatum(tx: Transaction, job: string, pipeline: string, end: DatumEnd): Promise<void> {
  await tx.run(
    `UPDATE datum SET state = ?, attempts = attempts + ?, exit_code = ?, started_ms = ?, finished_ms = ?, bytes_out = ?,
       reason = ? WHERE job = ? AND id = ?`,
    [
      end.state,
      end.attempts,
      end.exitCode ?? null,
      end.startedMs,
      end.finishedMs,
      end.result?.sizeBytes ?? 0,
      end.reason ?? null,
      job,
      end.id,
    ],
  )
  const result = end.result
  if (!result?.reusable) return
  await tx.run(
    `INSERT OR REPLACE INTO datum_result (pipeline, fingerprint, root, files, size_bytes, job, datum)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [pipeline, result.fingerprint, result.root, result.files, result.sizeBytes, result.job, end.id],
  )
}

/** Results that are kept, by the fingerprint in hex. With `job`: only what that job ran itself. */
export async function findResults(
  queries: Queries,
  pipeline: string,
  fingerprints: readonly Buffer[],
  job?: string,
): Promise<ReadonlyMap<string, DatumResult>> {
  const results = new Map<string, DatumResult>()
  for (let at = 0; at < fingerprints.length; at += SLICE) {
    const wanted = fingerprints.slice(at, at + SLICE).map((fingerprint) => fingerprint.toString('hex'))
    const rows = await queries.all<{
      fingerprint: Buffer
      root: TreeHash
      files: number
      size_bytes: number
      job: string
    }>(
      `SELECT r.fingerprint, r.root, r.files, r.size_bytes, r.job FROM json_each(?) wanted
       CROSS JOIN datum_result r ON r.pipeline = ? AND r.fingerprint = unhex(wanted.value)`,
      [JSON.stringify(wanted), pipeline],
    )
    for (const row of rows) {
      if (job !== undefined && row.job !== job) continue
      results.set(row.fingerprint.toString('hex'), {
        root: row.root,
        files: row.files,
        sizeBytes: row.size_bytes,
        job: row.job,
      })
    }
  }
  return results
}

/** The rows that these datums of a job have, by id. */
export async function datumRows(
  queries: Queries,
  job: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, DatumRow>> {
  const rows = await queries.all<DatumColumns>(
    `SELECT d.id, d.state, d.why, d.attempts, d.exit_code, d.started_ms, d.finished_ms, d.bytes_out, d.reason
     FROM json_each(?) wanted CROSS JOIN datum d ON d.job = ? AND d.id = wanted.value`,
    [JSON.stringify(ids), job],
  )
  return new Map(rows.map((row) => [row.id, toDatum(row)]))
}

function toDatum(row: DatumColumns): DatumRow {
  return {
    id: row.id,
    state: row.state,
    why: row.why,
    attempts: row.attempts,
    ...(row.exit_code !== null && { exitCode: row.exit_code }),
    ...(row.started_ms !== null && { startedMs: row.started_ms }),
    ...(row.finished_ms !== null && { finishedMs: row.finished_ms }),
    bytesOut: row.bytes_out,
    ...(row.reason !== null && { reason: row.reason }),
  }
}
