import type { MergeInput, MergePreview, Merges, RevertInput } from '../../merges.ts'
import {
  type BranchAddress,
  BranchMoved,
  type CommitId,
  CommitNotFound,
  MainlineNeeded,
  NoMergeBase,
  type RepoName,
  type TreeHash,
} from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import { unavailable } from '../commits.ts'
import {
  type CountedTree,
  isNothing,
  type LandInput,
  type Landing,
  type LandState,
  landTree,
  previewLanding,
  readLandState,
} from './land-tree.ts'
import { bestCommonAncestors } from './merge-base.ts'
import { virtualBase } from './virtual-base.ts'

/** Each try but the first follows another merge, restore or move of the same branch. */
const MAX_TRIES = 10

interface FoundCommit extends CountedTree {
  readonly id: CommitId
  readonly branch: string
  readonly parents: readonly CommitId[]
}

interface Prepared {
  readonly state: LandState
  readonly bases: readonly CommitId[]
  readonly contained: boolean
  readonly input: LandInput
}

/** Merges of branches, and commits that take others back. */
export class BranchMerges implements Merges {
  readonly #landing: Landing

  constructor(landing: Landing) {
    this.#landing = landing
  }

  async merge(...[into, from, input = {}]: Parameters<Merges['merge']>): ReturnType<Merges['merge']> {
    return this.#leased(async () => {
      for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
        const prepared = await this.#prepare(into, from, input)
        if (prepared.contained) return { kind: 'contained', head: prepared.state.tip as CommitId }
        const landed = await landTree(this.#landing, into, prepared.input)
        if (landed.kind !== 'landed') continue
        input.onWork?.({ step: 'finishing', done: 0 })
        const commit = await this.#landing.waitForCommit(landed.commit)
        return { kind: 'merged', commit, counts: landed.counts! }
      }
      throw movedAway(into)
    })
  }

  async preview(into: BranchAddress, from: CommitId, input: MergeInput = {}): Promise<MergePreview> {
    return this.#leased(async () => {
      const prepared = await this.#prepare(into, from, input)
      const { bases } = prepared
      const head = (prepared.state.tip ?? undefined) as CommitId | undefined
      if (prepared.contained) {
        const counts = { added: 0, changed: 0, deleted: 0 }
        return { kind: 'contained', head, bases, counts, conflicts: [], conflictsTotal: 0 }
      }
      const { counts, conflicts, conflictsTotal } = await previewLanding(this.#landing, into, prepared.input)
      return { kind: 'merge', head, bases, counts, conflicts, conflictsTotal }
    })
  }

  async mergeBases(repo: RepoName, one: CommitId, other: CommitId): Promise<readonly CommitId[]> {
    const { db } = this.#landing.context
    for (const id of [one, other]) await this.#find(repo, id)
    return bestCommonAncestors(db, [one], [other])
  }

  async revert(...[at, id, input = {}]: Parameters<Merges['revert']>): ReturnType<Merges['revert']> {
    return this.#leased(async () => {
      const commit = await this.#find(at.repo, id)
      const landed = await landTree(this.#landing, at, {
        base: commit.root,
        tree: await this.#parentOf(at.repo, commit, input),
        message: input.message ?? `revert ${id}`,
        ...(input.author === undefined ? {} : { author: input.author }),
        ...(input.resolve ? { resolve: input.resolve } : {}),
        skipUnchanged: true,
        wantsCounts: true,
        onWork: input.onWork,
      })
      if (landed.kind === 'unchanged') return landed
      if (landed.kind === 'moved') throw movedAway(at)
      input.onWork?.({ step: 'finishing', done: 0 })
      const made = await this.#landing.waitForCommit(landed.commit)
      return { kind: 'reverted', commit: made, counts: landed.counts! }
    })
  }

  /** Trees that are only computed on the way are kept until the merge has ended. */
  async #leased<T>(work: () => Promise<T>): Promise<T> {
    const end = this.#landing.context.leases.begin()
    try {
      return await work()
    } finally {
      end()
    }
  }

  async #prepare(into: BranchAddress, from: CommitId, input: MergeInput): Promise<Prepared> {
    const { context } = this.#landing
    const state = await readLandState(context.db, into, { by: 'merge' })
    const theirs = await this.#find(into.repo, from)
    const bases = state.tip === null ? [] : await bestCommonAncestors(context.db, [state.tip as CommitId], [from])
    const ontoNothing = isNothing(state)
    if (bases.length === 0 && !ontoNothing && !input.allowUnrelated) {
      throw new NoMergeBase(
        `${into.repo}@${into.branch} and ${from} have no common ancestor: they can be merged as if both had begun with nothing, if you say so (unrelated histories)`,
        { into: state.tip ?? state.open_commit, from },
      )
    }
    const contained = bases.length === 1 && bases[0] === from
    const base = contained ? theirs.root : await virtualBase(context, bases)
    return {
      state,
      bases,
      contained,
      input: {
        base,
        tree: theirs,
        message: input.message ?? `merge ${from} (${theirs.branch})`,
        ...(input.author === undefined ? {} : { author: input.author }),
        ...(input.resolve ? { resolve: input.resolve } : {}),
        mergeParent: from,
        by: 'merge',
        wantsCounts: true,
        onWork: input.onWork,
        since: state,
        ...(ontoNothing && !input.allowUnrelated ? { ontoNothing } : {}),
      },
    }
  }

  /** What a commit is reverted to. */
  async #parentOf(repo: RepoName, commit: FoundCommit, { mainline }: RevertInput): Promise<CountedTree> {
    const { parents, id } = commit
    if (mainline === undefined && parents.length > 1) {
      throw new MainlineNeeded(`${id} is a merge of ${parents.join(' and ')}: say which one is gone back to, 1 or 2`, {
        commit: id,
        parents,
      })
    }
    const parent = parents[(mainline ?? 1) - 1]
    if (parent) return this.#find(repo, parent)
    if (mainline !== undefined && mainline > 1) {
      throw new MainlineNeeded(`${id} has ${parents.length} parent(s): there is no number ${mainline}`, {
        commit: id,
        parents,
      })
    }
    return { root: EMPTY_TREE, files: 0, bytes: 0 }
  }

  /** Throws CommitNotFound, CommitUnavailable. */
  async #find(repo: RepoName, id: CommitId): Promise<FoundCommit> {
    const row = await this.#landing.context.db.get<{
      id: string
      repo: string
      branch: string
      root: string
      files: number
      bytes: number
      state: string
      kind: string
      failure: string | null
      parent: string | null
      merge_parent: string | null
    }>(
      'SELECT id, repo, branch, root, files, bytes, state, kind, failure, parent, merge_parent FROM commits WHERE id = ? AND repo = ?',
      [id, repo],
    )
    if (!row) throw new CommitNotFound(`repo ${repo} has no commit ${id}`, { repo, commit: id })
    if (row.state !== 'finished') throw unavailable(row, 'own')
    const { branch, files, bytes } = row
    const parents = [row.parent, row.merge_parent].filter((parent) => parent !== null) as CommitId[]
    return { id, branch, parents, root: row.root as TreeHash, files, bytes }
  }
}

function movedAway(at: BranchAddress): BranchMoved {
  return new BranchMoved(
    `${at.repo}@${at.branch} was merged into, restored or moved whenever it was looked at: try again`,
    {
      repo: at.repo,
      branch: at.branch,
    },
  )
}
