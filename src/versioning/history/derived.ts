import type { Transaction } from '../../kernel/index.ts'
import type { DatumOutput, Derived, OpenOutput, OutputFile, Revival, TreeHold } from '../derived.ts'
import {
  type BranchAddress,
  BranchMoved,
  type BranchName,
  BranchNotFound,
  type CommitFailure,
  type CommitId,
  type CommitRef,
  Cycle,
  InUse,
  type Origin,
  ReadOnly,
  type RepoName,
  RepoNotFound,
  type TreeHash,
} from '../model/index.ts'
import { EMPTY_TREE, measure } from '../tree/index.ts'
import { ensureBranch, readOnlyReason } from './branches.ts'
import type { HistoryContext } from './context.ts'
import { noteHeadTime } from './log/commit-times.ts'
import { storeOutput } from './outputs.ts'
import { openOutput, propagateFrom } from './propagation.ts'
import { reviveOutput } from './revive.ts'

interface BranchIdentity {
  readonly id: number
  readonly head: string | null
  readonly pipeline: string | null
  readonly protected: number
}

/** Branches that a pipeline makes commits on. */
export class DerivedBranches implements Derived {
  readonly #context: HistoryContext

  constructor(context: HistoryContext) {
    this.#context = context
  }

  async define(
    tx: Transaction,
    { output, pipeline, inputs, ...ofRepo }: Parameters<Derived['define']>[1],
  ): Promise<{ readonly commit?: CommitId }> {
    const inputIds: number[] = []
    for (const input of inputs) {
      const { id } = await findBranch(tx, input)
      if (!inputIds.includes(id)) inputIds.push(id)
    }
    const branch = await this.#claimOutput(tx, output, { pipeline, ...ofRepo })
    await refuseCycle(tx, branch.id, inputIds, output)
    await tx.run('UPDATE branches SET pipeline = ?, paused = 0 WHERE id = ?', [pipeline, branch.id])
    await tx.run('DELETE FROM branch_inputs WHERE branch_id = ?', [branch.id])
    for (const [position, id] of inputIds.entries()) {
      await tx.run('INSERT INTO branch_inputs (branch_id, input_branch_id, position) VALUES (?, ?, ?)', [
        branch.id,
        id,
        position,
      ])
    }
    tx.afterCommit(this.#context.signal.notify)
    return this.#openFromHeads(tx, branch.id)
  }

  async undefine(tx: Transaction, output: BranchAddress): Promise<void> {
    const branch = await findBranch(tx, output)
    const open = await tx.all<{ id: string }>(
      'SELECT id FROM commits INDEXED BY commits_unfinished WHERE branch_id = ? AND finished_ms IS NULL',
      [branch.id],
    )
    for (const { id } of open) {
      await this.fail(tx, id as CommitId, {
        kind: 'stopped',
        reason: `pipeline ${branch.pipeline} does not write this branch any more`,
      })
    }
    await tx.run('DELETE FROM branch_inputs WHERE branch_id = ?', [branch.id])
    // From here it is an ordinary branch: its next commit goes on from its head.
    await tx.run('UPDATE branches SET pipeline = NULL, paused = 0, tip = head WHERE id = ?', [branch.id])
    tx.afterCommit(this.#context.signal.notify)
  }

  async pause(tx: Transaction, output: BranchAddress, paused: boolean): Promise<{ readonly commit?: CommitId }> {
    const branch = await findBranch(tx, output)
    await tx.run('UPDATE branches SET paused = ? WHERE id = ?', [paused ? 1 : 0, branch.id])
    if (paused) return {}
    // What was stopped while it waited was never computed.
    const behind = await tx.get(
      `SELECT 1 FROM (${NEWEST_INPUTS_SQL}) AS input
       WHERE input.newest IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM commits AS c JOIN provenance AS p ON p.commit_id = c.id
         WHERE c.branch_id = ?1 AND p.upstream_id = input.newest
           AND NOT (c.state = 'failed' AND json_extract(c.failure, '$.kind') = 'stopped'))`,
      [branch.id],
    )
    if (!behind) return {}
    tx.afterCommit(this.#context.signal.notify)
    return this.#openFromHeads(tx, branch.id)
  }

  async listOpen(): Promise<readonly OpenOutput[]> {
    const { db } = this.#context
    const commits = await db.all<{
      id: string
      repo: string
      branch: string
      pipeline: string
      ordinal: number
      started_ms: number
      base_id: string | null
      base_root: string | null
    }>(
      `SELECT c.id, c.repo, c.branch, c.pipeline, c.ordinal, c.started_ms, base.id AS base_id, base.root AS base_root
       FROM commits AS c INDEXED BY commits_unfinished LEFT JOIN commits AS base ON base.number = (
         SELECT number FROM commits WHERE branch_id = c.branch_id AND ordinal < c.ordinal AND state = 'finished'
         ORDER BY ordinal DESC LIMIT 1)
       WHERE c.finished_ms IS NULL AND c.kind = 'derived' ORDER BY c.number`,
    )
    if (commits.length === 0) return []
    const inputs = await db.all<{
      output: string
      id: string
      repo: string
      branch: string
      state: OpenOutput['inputs'][number]['state'] | null
      root: string | null
    }>(
      `SELECT p.commit_id AS output, p.upstream_id AS id, p.upstream_repo AS repo, p.upstream_branch AS branch, c.state, c.root
       FROM json_each(?) AS wanted
       CROSS JOIN provenance AS p ON p.commit_id = wanted.value AND p.direct = 1
       LEFT JOIN commits AS c ON c.id = p.upstream_id`,
      [JSON.stringify(commits.map((commit) => commit.id))],
    )
    const byOutput = Map.groupBy(inputs, (input) => input.output)
    return commits.map((row) => ({
      commit: row.id as CommitId,
      repo: row.repo as RepoName,
      branch: row.branch as BranchName,
      pipeline: row.pipeline,
      ordinal: row.ordinal,
      startedMs: row.started_ms,
      ...(row.base_id ? { base: { commit: row.base_id as CommitId, root: row.base_root as TreeHash } } : {}),
      inputs: (byOutput.get(row.id) ?? []).map((input) => ({
        repo: input.repo as RepoName,
        branch: input.branch as BranchName,
        commit: input.id as CommitId,
        // An input that is gone can't be computed from, which is not the same as an empty one.
        state: input.state ?? 'failed',
        root: (input.root ?? EMPTY_TREE) as TreeHash,
      })),
    }))
  }

  async reopen(tx: Transaction, like: CommitId): Promise<CommitId> {
    const row = await tx.get<{ branch_id: number }>('SELECT branch_id FROM commits WHERE id = ?', [like])
    if (!row) throw new BranchMoved(`commit ${like} is gone`, { commit: like })
    const origins = await tx.all<{ id: string }>('SELECT origin_id AS id FROM propagations WHERE commit_id = ?', [like])
    const inputs = await tx.all<{ id: string; branch_id: number }>(
      'SELECT c.id, c.branch_id FROM provenance AS p JOIN commits AS c ON c.id = p.upstream_id WHERE p.commit_id = ? AND p.direct = 1',
      [like],
    )
    const originIds = origins.map((origin) => origin.id as CommitId)
    const made = new Map(inputs.map((input) => [input.branch_id, input.id as CommitId]))
    const commit = await openOutput(tx, this.#context, row.branch_id, originIds, made)
    await propagateFrom(tx, this.#context, [row.branch_id], originIds, new Map([[row.branch_id, commit]]))
    tx.afterCommit(this.#context.signal.notify)
    return commit
  }

  async finish(tx: Transaction, commit: CommitId, root: TreeHash): Promise<void> {
    const { files, bytes } = await this.#count(root)
    const nowMs = this.#context.clock.now()
    const changed = await tx.run(
      `UPDATE commits SET state = 'finished', root = ?, files = ?, bytes = ?, finished_ms = ?, parent = (
         SELECT p.id FROM commits AS p WHERE p.branch_id = commits.branch_id AND p.ordinal < commits.ordinal
           AND p.state = 'finished' ORDER BY p.ordinal DESC LIMIT 1)
       WHERE id = ? AND state = 'open' AND kind = 'derived'`,
      [root, files, bytes, nowMs, commit],
    )
    if (changed === 0) throw new BranchMoved(`output commit ${commit} is not open any more`, { commit })
    await noteHeadTime(tx, commit, nowMs)
    // The head only moves forward: an older commit that ends later is read by its id.
    await tx.run(
      `UPDATE branches SET head = ?1, tip = ?1, root = ?2
       WHERE id = (SELECT branch_id FROM commits WHERE id = ?1) AND coalesce((SELECT ordinal FROM commits WHERE id = branches.head AND branch_id = branches.id), 0)
         < (SELECT ordinal FROM commits WHERE id = ?1)`,
      [commit, root],
    )
    tx.afterCommit(this.#context.signal.notify)
  }

  async fail(tx: Transaction, commit: CommitId, failure: CommitFailure): Promise<readonly CommitRef[]> {
    const nowMs = this.#context.clock.now()
    const end =
      "UPDATE commits SET state = 'failed', failure = ?, finished_ms = ? WHERE id = ? AND state = 'open' AND kind = 'derived'"
    if ((await tx.run(end, [JSON.stringify(failure), nowMs, commit])) === 0) return []
    const own = await tx.get<{ repo: string }>('SELECT repo FROM commits WHERE id = ?', [commit])
    const because: CommitRef = { repo: own?.repo as RepoName, commit }
    const downstream = await tx.all<{ id: string; repo: string }>(
      `SELECT c.id, c.repo FROM provenance AS p CROSS JOIN commits AS c ON c.id = p.commit_id
       WHERE p.upstream_id = ? AND c.state = 'open' AND c.kind = 'derived' ORDER BY c.number`,
      [commit],
    )
    const reason = `${because.repo}@${commit.slice(0, 12)} ${failure.kind === 'stopped' ? 'was stopped' : 'failed'}: ${failure.reason}`
    const unrunnable: CommitFailure = { kind: failure.kind === 'stopped' ? 'stopped' : 'unrunnable', reason, because }
    for (const { id } of downstream) await tx.run(end, [JSON.stringify(unrunnable), nowMs, id])
    tx.afterCommit(this.#context.signal.notify)
    return downstream.map(({ id, repo }) => ({ commit: id as CommitId, repo: repo as RepoName }))
  }

  async revive(tx: Transaction, commit: CommitId): Promise<Revival> {
    const revival = await reviveOutput(tx, this.#context, commit)
    tx.afterCommit(this.#context.signal.notify)
    return revival
  }

  async storeOutput(files: readonly OutputFile[], origin: Origin, hold?: TreeHold): Promise<DatumOutput> {
    const end = this.#context.leases.begin()
    try {
      const output = await storeOutput(this.#context, files, origin)
      hold?.pin(output.root)
      return output
    } finally {
      end()
    }
  }

  hold(): TreeHold {
    return this.#context.leases.hold()
  }

  async union(
    ...[commit, outputs, base, hold]: Parameters<Derived['union']>
  ): Promise<Awaited<ReturnType<Derived['union']>>> {
    const end = this.#context.leases.begin()
    try {
      const result = await this.#context.treeWork.union({ commit, outputs, base })
      if (result.kind === 'ok') hold?.pin(result.root)
      return result
    } finally {
      end()
    }
  }

  async #claimOutput(
    tx: Transaction,
    output: BranchAddress,
    { pipeline, ...ofRepo }: Pick<Parameters<Derived['define']>[1], 'pipeline' | 'owner' | 'repo'>,
  ): Promise<BranchIdentity> {
    const { clock, versioned, roles } = this.#context
    const bucket = `${output.branch}.${output.repo}`
    await ensureBranch(tx, output, { nowMs: clock.now(), bucket, versioned, ...ofRepo })
    tx.afterCommit(roles.changed)
    const branch = await findBranch(tx, output)
    const name = `${output.repo}@${output.branch}`
    const refused = readOnlyReason(output, { pipeline: null, protected: branch.protected })
    if (refused) throw refused
    if (branch.pipeline !== null && branch.pipeline !== pipeline) {
      throw new ReadOnly(`${name} is the output of pipeline ${branch.pipeline}; choose another output_branch`, {
        by: branch.pipeline,
      })
    }
    const foreign = await tx.get(
      `SELECT 1 FROM commits WHERE branch_id = ?1 AND kind <> 'derived'
       UNION ALL SELECT 1 FROM uploads WHERE branch_id = ?1 AND state = 'open'
       UNION ALL SELECT 1 FROM scratch WHERE branch_id = ?1 LIMIT 1`,
      [branch.id],
    )
    if (foreign)
      throw new InUse(`${name} holds data that was written to it; a pipeline needs a branch of its own`, { by: name })
    return branch
  }

  /** An output commit on the inputs' newest commits, those that are still open in a propagation included. */
  async #openFromHeads(tx: Transaction, branchId: number): Promise<{ readonly commit?: CommitId }> {
    const inputs = await tx.all<{ branch_id: number; newest: string | null }>(NEWEST_INPUTS_SQL, [branchId])
    const made = new Map<number, CommitId>()
    for (const { branch_id, newest } of inputs) if (newest) made.set(branch_id, newest as CommitId)
    if (made.size === 0) return {}
    const origins = await tx.all<{ id: string }>(
      `SELECT DISTINCT coalesce(p.origin_id, wanted.value) AS id FROM json_each(?) AS wanted
       LEFT JOIN propagations AS p ON p.commit_id = wanted.value`,
      [JSON.stringify([...made.values()])],
    )
    const originIds = origins.map((origin) => origin.id as CommitId)
    const commit = await openOutput(tx, this.#context, branchId, originIds, made)
    await propagateFrom(tx, this.#context, [branchId], originIds, new Map([[branchId, commit]]))
    return { commit }
  }

  async #count(root: TreeHash): Promise<{ files: number; bytes: number }> {
    const { objects, bytes } = await measure(this.#context.nodes, root)
    return { files: objects, bytes }
  }
}

/** The newest commit of each input of branch ?1, one that is still open in a propagation included. */
const NEWEST_INPUTS_SQL = `SELECT b.id AS branch_id, coalesce((
    SELECT c.id FROM commits AS c INDEXED BY commits_unfinished
    WHERE c.branch_id = b.id AND c.kind = 'derived' AND c.finished_ms IS NULL ORDER BY c.ordinal DESC LIMIT 1), b.head) AS newest
  FROM branch_inputs AS i JOIN branches AS b ON b.id = i.input_branch_id WHERE i.branch_id = ?1`

async function findBranch(tx: Transaction, at: BranchAddress): Promise<BranchIdentity> {
  const branch = await tx.get<BranchIdentity>(
    'SELECT id, head, pipeline, protected FROM branches WHERE repo = ? AND name = ?',
    [at.repo, at.branch],
  )
  if (branch) return branch
  if (!(await tx.get('SELECT 1 FROM repos WHERE name = ?', [at.repo]))) throw new RepoNotFound(at.repo)
  throw new BranchNotFound(at.repo, at.branch)
}

async function refuseCycle(
  tx: Transaction,
  outputId: number,
  inputIds: readonly number[],
  output: BranchAddress,
): Promise<void> {
  const upstream = await tx.all<{ id: number; repo: string; name: string }>(
    `WITH RECURSIVE up (id) AS (
       SELECT value FROM json_each(?)
       UNION SELECT i.input_branch_id FROM up JOIN branch_inputs AS i ON i.branch_id = up.id
     )
     SELECT b.id, b.repo, b.name FROM up JOIN branches AS b ON b.id = up.id`,
    [JSON.stringify(inputIds)],
  )
  if (!upstream.some((branch) => branch.id === outputId)) return
  const through = upstream.map((branch) => `${branch.repo}@${branch.name}`)
  throw new Cycle(`${output.repo}@${output.branch} would depend on itself, through ${through.join(', ')}`, {
    path: through,
  })
}
