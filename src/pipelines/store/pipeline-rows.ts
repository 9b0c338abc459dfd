import type { Queries, Transaction } from '../../kernel/index.ts'
import type { RepoName } from '../../versioning/index.ts'
import { parseSpec, type Spec } from '../spec/index.ts'

/** Where a job's results are pushed to, as the egress floor normalised it. */
export interface EgressTarget {
  readonly url: string
  readonly secret?: string
  /** How it is filled, as JSON that egress reads; versions of before there were any have none. */
  readonly settings?: unknown
}

/** One version of a pipeline's spec. */
export interface PipelineVersion {
  readonly pipeline: RepoName
  readonly version: number
  readonly spec: Spec
  readonly egress?: EgressTarget
  /** Part of what results are kept by. */
  readonly generation: number
  /** Its code sees nothing of the server but the system's programs, and does not run without a sandbox. */
  readonly confined: boolean
}

/** A pipeline as it is kept, with its newest version. */
export interface PipelineRow extends PipelineVersion {
  readonly state: 'running' | 'stopped'
  readonly createdMs: number
  readonly updatedMs: number
}

interface VersionColumns {
  readonly pipeline: RepoName
  readonly version: number
  readonly spec: string
  readonly egress: string | null
  readonly generation: number
  readonly confined: number
}

interface PipelineColumns extends VersionColumns {
  readonly state: 'running' | 'stopped'
  readonly created_ms: number
  readonly updated_ms: number
}

const pipelineSql = `SELECT p.name AS pipeline, p.version, p.state, p.created_ms, p.updated_ms, v.spec, v.egress, v.generation, v.confined
  FROM pipeline p JOIN pipeline_version v ON v.pipeline = p.name AND v.version = p.version`

/** With its newest version; undefined where there is none. */
export async function findPipeline(queries: Queries, name: string): Promise<PipelineRow | undefined> {
  const row = await queries.get<PipelineColumns>(`${pipelineSql} WHERE p.name = ?`, [name])
  return row && toPipeline(row)
}

/** By name. */
export async function allPipelines(queries: Queries): Promise<readonly PipelineRow[]> {
  return (await queries.all<PipelineColumns>(`${pipelineSql} ORDER BY p.name`)).map(toPipeline)
}

/** A version that jobs may still run, also after a newer one was made. */
export async function findVersion(
  queries: Queries,
  name: string,
  version: number,
): Promise<PipelineVersion | undefined> {
  const row = await queries.get<VersionColumns>(
    'SELECT pipeline, version, spec, egress, generation, confined FROM pipeline_version WHERE pipeline = ? AND version = ?',
    [name, version],
  )
  return row && toVersion(row)
}

/** The newest version that was ever given to a pipeline of this name, and its generation; 0 if there was none. */
export async function lastVersion(queries: Queries, name: string): Promise<{ version: number; generation: number }> {
  const row = await queries.get<{ version: number; generation: number }>(
    'SELECT version, generation FROM pipeline_version WHERE pipeline = ? ORDER BY version DESC LIMIT 1',
    [name],
  )
  return row ?? { version: 0, generation: 0 }
}

/** Makes this the pipeline's newest version, and the pipeline where there is none of that name. */
export async function savePipeline(
  tx: Transaction,
  input: {
    name: string
    version: number
    spec: unknown
    egress?: EgressTarget
    generation: number
    nowMs: number
    author?: string
    confined?: boolean
  },
): Promise<void> {
  const { name, version, generation, nowMs } = input
  const egress = input.egress ? JSON.stringify(input.egress) : null
  await tx.run(
    `INSERT INTO pipeline_version (pipeline, version, spec, egress, generation, created_ms, author, confined)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      name,
      version,
      JSON.stringify(input.spec),
      egress,
      generation,
      nowMs,
      input.author ?? null,
      input.confined ? 1 : 0,
    ],
  )
  await tx.run(
    `INSERT INTO pipeline (name, version, state, created_ms, updated_ms) VALUES (?, ?, 'running', ?, ?)
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, updated_ms = excluded.updated_ms`,
    [name, version, nowMs, nowMs],
  )
}

/** Stops a pipeline, or starts it again. */
export async function setPipelineState(
  tx: Transaction,
  name: string,
  state: 'running' | 'stopped',
  nowMs: number,
): Promise<void> {
  await tx.run('UPDATE pipeline SET state = ?, updated_ms = ? WHERE name = ?', [state, nowMs, name])
}

/** Its jobs and old specs stay: commits say by which job they were made. Its results are not used again. */
export async function dropPipeline(tx: Transaction, name: string): Promise<void> {
  await tx.run('DELETE FROM pipeline WHERE name = ?', [name])
  await tx.run('DELETE FROM datum_result WHERE pipeline = ?', [name])
}

function toVersion(row: VersionColumns): PipelineVersion {
  const { pipeline, version, generation } = row
  const spec = parseSpec(JSON.parse(row.spec)).spec
  return {
    pipeline,
    version,
    generation,
    confined: row.confined === 1,
    spec,
    ...(row.egress !== null && { egress: JSON.parse(row.egress) as EgressTarget }),
  }
}

function toPipeline(row: PipelineColumns): PipelineRow {
  return { ...toVersion(row), state: row.state, createdMs: row.created_ms, updatedMs: row.updated_ms }
}
