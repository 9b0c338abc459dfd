import type { Queries } from '../../kernel/index.ts'
import {
  type BranchName,
  type CommitId,
  CommitNotFound,
  type CommitState,
  type Provenance,
  type Target,
  type TargetInfo,
} from '../model/index.ts'
import { missing } from './branches.ts'
import { provenanceOf } from './commits.ts'
import { GroupedReads } from './grouped-reads.ts'

/** Commits whose facts are remembered: those of a finished commit, and any commit's provenance, never change. */
const MAX_REMEMBERED = 10_000

/** The commit that a branch's reads are said to come from: for a pipeline's output its head, else the newest there is. */
export const SHOWN_COMMIT = 'CASE WHEN b.pipeline IS NULL THEN coalesce(b.open_commit, b.tip) ELSE b.head END'

/** What a statement has to give of the target it reads. */
export interface DescribedRow {
  readonly branch: string
  readonly id: string | null
  readonly state: CommitState | null
  readonly pipeline: string | null
  /** 1: a branch on which versioning was never enabled. */
  readonly unversioned?: number
}

/** What response headers are made of. */
export class Descriptions {
  readonly #queries: Queries
  readonly #commits = new Map<string, TargetInfo>()
  readonly #provenance = new Map<string, readonly Provenance[]>()

  readonly #branches: GroupedReads<readonly [repo: string, branch: string], DescribedRow | undefined>

  constructor(queries: Queries) {
    this.#queries = queries
    this.#branches = new GroupedReads((branches) => this.#askBranches(branches))
  }

  /** Throws BranchNotFound, RepoNotFound, CommitNotFound. */
  async describe(target: Target): Promise<TargetInfo> {
    if (target.kind === 'commit') return this.#describeCommit(target)
    const row = await this.#branches.ask([target.repo, target.branch])
    if (!row) throw await missing(this.#queries, target)
    return this.of(target, row)
  }

  /** The same of a row that was read together with what it describes. */
  async of(target: Target, row: DescribedRow): Promise<TargetInfo> {
    return {
      target,
      repo: target.repo,
      branch: row.branch as BranchName,
      ...(row.id ? { commit: row.id as CommitId } : {}),
      ...(row.state ? { commitState: row.state } : {}),
      ...(row.pipeline ? { pipeline: row.pipeline } : {}),
      ...(row.unversioned ? { unversioned: true as const } : {}),
      provenance: row.pipeline && row.id ? await this.#provenanceOf(row.id as CommitId) : [],
    }
  }

  async #askBranches(branches: readonly (readonly [string, string])[]): Promise<readonly (DescribedRow | undefined)[]> {
    const rows = await this.#queries.all<DescribedRow & { question: number }>(
      `SELECT w.key AS question, b.name AS branch, c.id, c.state, b.pipeline, b.versioned_from IS NULL AS unversioned
       FROM json_each(?) AS w
       CROSS JOIN branches AS b ON b.repo = w.value ->> 0 AND b.name = w.value ->> 1
       LEFT JOIN commits AS c ON c.id = ${SHOWN_COMMIT}`,
      [JSON.stringify(branches)],
    )
    const answers: (DescribedRow | undefined)[] = new Array(branches.length)
    for (const row of rows) answers[row.question] = row
    return answers
  }

  async #describeCommit(target: Extract<Target, { kind: 'commit' }>): Promise<TargetInfo> {
    const known = this.#commits.get(target.commit)
    if (known?.repo === target.repo) return known
    const row = await this.#queries.get<DescribedRow>(
      'SELECT branch, id, state, pipeline FROM commits WHERE repo = ? AND id = ?',
      [target.repo, target.commit],
    )
    if (!row) {
      throw new CommitNotFound(`repo ${target.repo} has no commit ${target.commit}`, { commit: target.commit })
    }
    const info = await this.of(target, row)
    if (row.state === 'finished') remember(this.#commits, target.commit, info)
    return info
  }

  async #provenanceOf(commit: CommitId): Promise<readonly Provenance[]> {
    const known = this.#provenance.get(commit)
    if (known) return known
    const provenance = await provenanceOf(this.#queries, commit)
    remember(this.#provenance, commit, provenance)
    return provenance
  }
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  if (map.size >= MAX_REMEMBERED) map.clear()
  map.set(key, value)
}
