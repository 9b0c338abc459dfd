/** What the contract says of pipelines, their jobs and datums; a part of `contract.ts`, by which it is read. */

import type { JobEgressJson } from './contract-egress.ts'
import type { CommitRefJson } from './contract-graph.ts'

export interface PipelineJson {
  readonly name: string
  readonly version: number
  readonly description: string
  readonly state: 'running' | 'stopped'
  readonly created: string
  readonly updated: string
  readonly input: string
  readonly outputBranch: string
  readonly spec: unknown
  readonly runner: string
  readonly egressUrl?: string
  readonly lastJob?: { readonly id: string; readonly state: JobStateJson }
}

export interface PipelineCreatedJson {
  readonly pipeline: PipelineJson
  /** How fields were mapped, one sentence each. */
  readonly notes: readonly string[]
}

export type JobStateJson =
  | 'created'
  | 'starting'
  | 'running'
  | 'egressing'
  | 'finishing'
  | 'success'
  | 'failure'
  | 'killed'
  | 'unrunnable'

export interface JobJson {
  readonly id: string
  readonly pipeline: string
  readonly specVersion: number
  readonly state: JobStateJson
  readonly outputCommit: string
  readonly inputs: readonly CommitRefJson[]
  readonly created: string
  readonly started: string | null
  readonly finished: string | null
  readonly reason?: string
  readonly datums: {
    readonly total: number
    readonly processed: number
    readonly skipped: number
    readonly failed: number
    readonly recovered: number
  }
  readonly restarts: number
  readonly egress?: JobEgressJson
}

export interface DatumJson {
  readonly id: string
  readonly job: string
  readonly state: 'starting' | 'running' | 'success' | 'failed' | 'recovered' | 'skipped'
  readonly inputs: readonly string[]
  readonly attempts: number
  readonly exitCode: number | null
  readonly started: string | null
  readonly finished: string | null
  readonly bytesIn: number
  readonly bytesOut: number
  readonly reason?: string
  /** Why it ran or was reused. */
  readonly why: string
}

export interface LogLineJson {
  readonly at: string
  readonly pipeline: string
  readonly job: string
  readonly datum?: string
  readonly stream: 'stdout' | 'stderr' | 'system'
  readonly text: string
}
