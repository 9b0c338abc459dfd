import type { Transaction } from '../../../kernel/index.ts'
import { type BranchAddress, BranchNotEmpty, InUse, ReadOnly, type RepoName, RepoNotFound } from '../../model/index.ts'
import { missing, readOnlyReason } from '../branches.ts'
import { abortAllTransactions } from '../transactions/rows.ts'

/** Removes the branch, and the repo with its last branch. `isEmpty` looks at the live view inside the transaction. */
export async function deleteBranch(
  tx: Transaction,
  at: BranchAddress,
  isEmpty: ((branchId: number) => Promise<boolean>) | undefined,
): Promise<void> {
  const branch = await tx.get<{ id: number; pipeline: string | null; protected: number }>(
    "SELECT id, pipeline, protected FROM branches WHERE repo = ? AND name = ? AND kind = 'branch'",
    [at.repo, at.branch],
  )
  if (!branch) throw await missing(tx, at)
  const refused = readOnlyReason(at, { ...branch, pipeline: null })
  if (refused) throw refused
  await refuseInUse(tx, [branch.id], `${at.repo}@${at.branch}`)
  if (isEmpty && !(await isEmpty(branch.id))) throw new BranchNotEmpty(at.repo, at.branch)
  await refuseLastOfTagged(tx, at)
  await removeBranchRows(tx, branch.id)
  // Its open transactions can still be read, and be aborted.
  const rest = await tx.get<{ name: string }>(
    "SELECT name FROM branches WHERE repo = ? AND kind = 'branch' ORDER BY id LIMIT 1",
    [at.repo],
  )
  if (!rest) return removeRepoRows(tx, at.repo)
  await tx.run('UPDATE repos SET default_branch = ? WHERE name = ? AND default_branch = ?', [
    rest.name,
    at.repo,
    at.branch,
  ])
}

/** A repo goes with its last branch: not while it has tags, which somebody relies on. */
async function refuseLastOfTagged(tx: Transaction, at: BranchAddress): Promise<void> {
  const other = await tx.get("SELECT 1 FROM branches WHERE repo = ? AND kind = 'branch' AND name <> ?", [
    at.repo,
    at.branch,
  ])
  if (other) return
  const tags = await tx.all<{ name: string }>('SELECT name FROM commit_tags WHERE repo = ? ORDER BY name LIMIT 10', [
    at.repo,
  ])
  if (tags.length === 0) return
  const by = tags.map((tag) => tag.name)
  throw new InUse(
    `${at.branch} is the last branch of ${at.repo}, which would go with it, and has tags (${by.join(', ')}): delete the tags first, or the repo`,
    { by },
  )
}

/** Removes a repo with its branches and transactions. Throws RepoNotFound, InUse, ReadOnly (a branch is protected). */
export async function deleteRepo(tx: Transaction, name: RepoName): Promise<void> {
  if (!(await tx.get('SELECT 1 FROM repos WHERE name = ?', [name]))) throw new RepoNotFound(name)
  const kept = await tx.get<{ name: string }>('SELECT name FROM branches WHERE repo = ? AND protected = 1 LIMIT 1', [
    name,
  ])
  if (kept) {
    throw new ReadOnly(`${name}@${kept.name} is protected, and would go with the repo: take the protection off first`, {
      repo: name,
      branch: kept.name,
      protected: true,
    })
  }
  const branches = await tx.all<{ id: number }>("SELECT id FROM branches WHERE repo = ? AND kind = 'branch'", [name])
  const ids = branches.map((branch) => branch.id)
  await refuseInUse(tx, ids, `repo ${name}`)
  for (const id of ids) await removeBranchRows(tx, id)
  await removeRepoRows(tx, name)
}

async function refuseInUse(tx: Transaction, branchIds: readonly number[], what: string): Promise<void> {
  const users = await tx.all<{ pipeline: string }>(
    `SELECT DISTINCT u.pipeline FROM json_each(?) AS wanted CROSS JOIN branches AS b ON b.id = wanted.value
     LEFT JOIN branch_inputs AS i ON i.input_branch_id = b.id
     CROSS JOIN branches AS u ON u.id = b.id OR u.id = i.branch_id WHERE u.pipeline IS NOT NULL ORDER BY u.pipeline`,
    [JSON.stringify(branchIds)],
  )
  if (users.length === 0) return
  const by = users.map((user) => user.pipeline)
  throw new InUse(`${what} is used by pipeline ${by.join(', ')}; delete that first`, { by })
}

async function removeBranchRows(tx: Transaction, branchId: number): Promise<void> {
  await tx.run('DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE branch_id = ?)', [branchId])
  await tx.run('DELETE FROM uploads WHERE branch_id = ?', [branchId])
  await tx.run('DELETE FROM rename_tokens WHERE branch_id = ?', [branchId])
  await tx.run('DELETE FROM scratch WHERE branch_id = ?', [branchId])
  for (const table of ['version_tags', 'version_access']) {
    await tx.run(
      `DELETE FROM ${table} WHERE commit_id IN (
         SELECT id FROM commits WHERE branch_id = ? AND finished_ms IS NULL AND kind <> 'derived')`,
      [branchId],
    )
  }
  // A batch that was never finished goes with its branch; finished commits stay, others may be computed from them.
  await tx.run(
    // Removed bit by bit: there may be a million, and everybody who writes would wait.
    `INSERT INTO dropped_changes (branch_id, from_seq)
     SELECT branch_id, min(from_seq) FROM commits
     WHERE branch_id = ?1 AND finished_ms IS NULL AND kind <> 'derived' GROUP BY branch_id
     ON CONFLICT (branch_id) DO UPDATE SET from_seq = min(from_seq, excluded.from_seq)`,
    [branchId],
  )
  await tx.run(
    `DELETE FROM commit_authors WHERE commit_id IN (
       SELECT id FROM commits WHERE branch_id = ? AND finished_ms IS NULL AND kind <> 'derived')`,
    [branchId],
  )
  await tx.run("DELETE FROM commits WHERE branch_id = ? AND state IN ('open', 'sealed') AND kind <> 'derived'", [
    branchId,
  ])
  await tx.run('DELETE FROM hidden_runs WHERE branch_id = ?', [branchId])
  // Branches that were made from its commits still see what was deleted by then.
  await tx.run(
    'DELETE FROM hidden_versions WHERE branch_id = ?1 AND NOT EXISTS (SELECT 1 FROM commits WHERE branch_id = ?1)',
    [branchId],
  )
  // They too see which of its changes belong together.
  await tx.run(
    'DELETE FROM branch_moves WHERE branch_id = ?1 AND NOT EXISTS (SELECT 1 FROM commits WHERE branch_id = ?1)',
    [branchId],
  )
  await tx.run('DELETE FROM branch_inputs WHERE branch_id = ?', [branchId])
  await tx.run('DELETE FROM branches WHERE id = ?', [branchId])
}

async function removeRepoRows(tx: Transaction, name: RepoName): Promise<void> {
  await abortAllTransactions(tx, name)
  const waiting = await tx.all<{ pipeline: string }>(
    `SELECT DISTINCT c.pipeline FROM commits AS c INDEXED BY commits_unfinished
     CROSS JOIN provenance AS p ON p.commit_id = c.id AND p.upstream_repo = ?1
     WHERE c.finished_ms IS NULL AND c.kind = 'derived' AND c.repo <> ?1`,
    [name],
  )
  if (waiting.length > 0) {
    const by = waiting.map((commit) => commit.pipeline)
    throw new InUse(`repo ${name} is still being computed from by ${by.join(', ')}; wait for its jobs, or kill them`, {
      by,
    })
  }
  for (const table of ['commit_authors', 'provenance', 'propagations', 'version_tags', 'version_access']) {
    await tx.run(`DELETE FROM ${table} WHERE commit_id IN (SELECT id FROM commits WHERE repo = ?)`, [name])
  }
  await tx.run(
    `INSERT INTO dropped_changes (branch_id, from_seq) SELECT DISTINCT branch_id, 0 FROM commits WHERE repo = ?
     ON CONFLICT (branch_id) DO UPDATE SET from_seq = 0`,
    [name],
  )
  for (const table of ['hidden_versions', 'branch_moves']) {
    await tx.run(`DELETE FROM ${table} WHERE branch_id IN (SELECT DISTINCT branch_id FROM commits WHERE repo = ?)`, [
      name,
    ])
  }
  await tx.run('DELETE FROM commits WHERE repo = ?', [name])
  await tx.run('DELETE FROM repo_roles WHERE repo = ?', [name])
  await tx.run('DELETE FROM commit_tags WHERE repo = ?', [name])
  await tx.run('DELETE FROM repos WHERE name = ?', [name])
}
