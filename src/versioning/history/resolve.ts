import { MIN_COMMIT_PREFIX, type Queries } from '../../kernel/index.ts'
import {
  AmbiguousCommit,
  type BranchName,
  type CommitId,
  CommitNotFound,
  type CommitRef,
  isCommitPrefix,
  isTransactionName,
  parseBranchName,
  type RepoName,
  RepoNotFound,
  splitTransaction,
  type Target,
  transactionBranch,
} from '../model/index.ts'
import { missing } from './branches.ts'
import { unavailable } from './commits.ts'

/** Candidates named in an AmbiguousCommit. */
const MAX_CANDIDATES = 10

interface Candidate {
  readonly id: string
  readonly repo: string
  readonly state: 'open' | 'sealed' | 'finished' | 'failed'
  readonly failure: string | null
  readonly kind: string
}

/**
 * What a bucket means. A branch is not looked up here: whatever is done with it will find out, in one statement, and names never
 * stand for a branch and a commit at once.
 */
export async function resolveTarget(queries: Queries, repo: RepoName, name: string | undefined): Promise<Target> {
  if (name !== undefined && isTransactionName(name)) return resolveTransaction(queries, repo, name)
  if (name === undefined) {
    const row = await queries.get<{ default_branch: string }>('SELECT default_branch FROM repos WHERE name = ?', [repo])
    if (!row) throw new RepoNotFound(repo)
    return { kind: 'branch', repo, branch: row.default_branch as BranchName }
  }
  if (!isCommitPrefix(name)) return { kind: 'branch', repo, branch: parseBranchName(name) }
  const { commit, via } = await findInRepo(queries, repo, name)
  if (commit.state !== 'finished') throw unavailable(commit, via)
  return { kind: 'commit', repo, commit: commit.id as CommitId }
}

/** `tx-<name>` is on the default branch. */
async function resolveTransaction(queries: Queries, repo: RepoName, text: string): Promise<Target> {
  const { name, onto } = splitTransaction(text)
  if (onto !== undefined) return { kind: 'branch', repo, branch: transactionBranch(name, onto) }
  const target = await resolveTarget(queries, repo, undefined)
  if (target.kind !== 'branch') throw new RepoNotFound(repo)
  return { kind: 'branch', repo, branch: transactionBranch(name, target.branch) }
}

/** A commit of the repo by its own id, else the one that another repo's commit led to. */
async function findInRepo(
  queries: Queries,
  repo: RepoName,
  prefix: string,
): Promise<{ commit: Candidate; via: 'own' | 'propagation' }> {
  if (!(await queries.get('SELECT 1 FROM repos WHERE name = ?', [repo]))) throw new RepoNotFound(repo)
  const all = await byPrefix(queries, prefix)
  const own = all.filter((commit) => commit.repo === repo)
  if (own.length > 0) return { commit: theOne(own, prefix), via: 'own' }
  if (all.length === 0) {
    throw new CommitNotFound(`no commit begins with ${prefix}`, { commit: prefix })
  }
  const foreign = theOne(all, prefix)
  const made = await madeBy(queries, repo, foreign.id as CommitId)
  if (made.length === 0) {
    throw new CommitNotFound(`no commit of ${repo} was made by ${foreign.repo}@${foreign.id}`, { commit: foreign.id })
  }
  if (made.length > 1) throw ambiguous(`${foreign.repo}@${foreign.id} led to several commits of ${repo}`, made)
  return { commit: made[0]!, via: 'propagation' }
}

async function byPrefix(queries: Queries, prefix: string): Promise<readonly Candidate[]> {
  return queries.all<Candidate>(
    'SELECT id, repo, state, failure, kind FROM commits WHERE id >= ? AND id < ? ORDER BY number LIMIT ?',
    [prefix, `${prefix}g`, MAX_CANDIDATES],
  )
}

/**
 * The commits of a repo that a commit's own propagation made, one for each branch: where the same inputs were computed again (a rerun,
 * a new spec), the newest stands for all.
 */
async function madeBy(queries: Queries, repo: RepoName, commit: CommitId): Promise<readonly Candidate[]> {
  return queries.all<Candidate>(
    `SELECT c.id, c.repo, c.state, c.failure, c.kind FROM commits AS c WHERE c.number IN (
       SELECT max(c.number) FROM propagations AS made CROSS JOIN commits AS c ON c.id = made.commit_id
       WHERE made.origin_id IN (
           SELECT ? UNION SELECT origin_id FROM propagations WHERE commit_id = ?
         ) AND c.repo = ?
         AND EXISTS (SELECT 1 FROM provenance AS p WHERE p.commit_id = c.id AND p.upstream_id = ?)
       GROUP BY c.branch_id) ORDER BY c.number LIMIT ?`,
    [commit, commit, repo, commit, MAX_CANDIDATES],
  )
}

function theOne(candidates: readonly Candidate[], prefix: string): Candidate {
  const exact = candidates.find((candidate) => candidate.id === prefix)
  if (exact) return exact
  if (candidates.length > 1) throw ambiguous(`several commits begin with ${prefix}`, candidates)
  return candidates[0]!
}

function ambiguous(what: string, candidates: readonly Candidate[]): AmbiguousCommit {
  const commits = candidates.map(({ repo, id }) => `${repo}@${id}`)
  return new AmbiguousCommit(`${what}: ${commits.join(', ')}`, { commits })
}

/** By full id or unambiguous prefix, in any repo. */
export async function findCommit(queries: Queries, id: string): Promise<CommitRef> {
  if (!isCommitPrefix(id)) {
    throw new CommitNotFound(
      `${JSON.stringify(id)} is not a commit id or a prefix of at least ${MIN_COMMIT_PREFIX} digits`,
    )
  }
  const found = await byPrefix(queries, id)
  if (found.length === 0) throw new CommitNotFound(`no commit begins with ${id}`, { commit: id })
  const one = theOne(found, id)
  return { repo: one.repo as RepoName, commit: one.id as CommitId }
}

/** `master`, `master^`, `master^2` (two back), a commit id or prefix with the same. */
export async function resolveRevision(queries: Queries, repo: RepoName, revision: string): Promise<CommitId> {
  const [, base, ups] = /^([^^]+)((?:\^\d*)*)$/.exec(revision) ?? []
  if (base === undefined) {
    throw new CommitNotFound(
      `${JSON.stringify(revision)} is not a revision: a branch or commit, then any number of ^ or ^N`,
    )
  }
  let commit = await baseCommit(queries, repo, base)
  for (const [, digits] of (ups ?? '').matchAll(/\^(\d*)/g)) {
    const steps = digits === '' ? 1 : Number(digits)
    for (let step = 0; step < steps; step++) {
      const row = await queries.get<{ parent: string | null }>('SELECT parent FROM commits WHERE id = ?', [commit])
      if (!row?.parent) throw new CommitNotFound(`${repo}@${revision}: ${commit} has no parent`, { commit })
      commit = row.parent as CommitId
    }
  }
  return commit
}

async function baseCommit(queries: Queries, repo: RepoName, base: string): Promise<CommitId> {
  if (isCommitPrefix(base)) return (await findInRepo(queries, repo, base)).commit.id as CommitId
  const branch = parseBranchName(base)
  const row = await queries.get<{ head: string | null }>('SELECT head FROM branches WHERE repo = ? AND name = ?', [
    repo,
    branch,
  ])
  if (!row) throw await missing(queries, { repo, branch })
  if (row.head) return row.head as CommitId
  throw new CommitNotFound(`${repo}@${branch} has no finished commit yet`, { repo, branch })
}
