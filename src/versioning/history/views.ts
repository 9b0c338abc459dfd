import type { Queries } from '../../kernel/index.ts'
import {
  CommitNotFound,
  type FileEntry,
  type Path,
  PathNotFound,
  scratchArea,
  type Target,
  type TargetInfo,
  type TreeHash,
  type VersionId,
} from '../model/index.ts'
import { type Cursor, decodeEntry, decodeLeaf, listPage, lookup, mergedCursor, treeCursor } from '../tree/index.ts'
import type { ListQuery, ListResult } from '../trees.ts'
import { Overlays, type View } from './batches/overlay.ts'
import { missing } from './branches.ts'
import { unavailable } from './commits.ts'
import type { HistoryContext } from './context.ts'
import { type DescribedRow, Descriptions, SHOWN_COMMIT } from './describe.ts'
import { GroupedReads } from './grouped-reads.ts'
import { findScratch, ScratchCursor } from './scratch.ts'
import { SettledViews } from './settled-views.ts'
import { NullVersions } from './versions/null.ts'

/** Finished commits whose roots are remembered: they never change, but for a purge. */
const MAX_REMEMBERED_ROOTS = 10_000
/** A view that went stale is read again; writers can't make it stale for ever, since each try reads a newer one. */
const MAX_VIEW_TRIES = 20

type FindQuestion = readonly [repo: string, branch: string, path: string]

interface FindRow extends DescribedRow {
  readonly root: string
  readonly seq: number | null
  readonly commit_id: string | null
  readonly entry: Buffer | null
  /** 1: the branch has no staged changes at all. */
  readonly settled: number
  /** Set where versioning was enabled later: the branch, and the number from which its changes have ids. */
  readonly mixed_branch: number | null
  readonly versioned_from: number
}

/** Reading: of a branch through its live view, of a commit through its tree. */
export class Views {
  readonly descriptions: Descriptions
  readonly #context: HistoryContext
  #overlays = new Overlays()
  readonly #nulls: NullVersions
  #roots = new Map<string, TreeHash>()
  readonly #settled: SettledViews
  readonly #finds: GroupedReads<FindQuestion, FindRow | undefined>

  constructor(context: HistoryContext) {
    this.#context = context
    this.#settled = new SettledViews(context.db)
    this.descriptions = new Descriptions(context.db)
    this.#nulls = new NullVersions(context.db)
    this.#finds = new GroupedReads((questions) => this.#askFinds(questions))
    // Reads that are under way keep to the old ones, so that nothing that they have read is remembered.
    context.forgetting.onForget(() => {
      this.#overlays = new Overlays()
      this.#roots = new Map()
    })
  }

  /** The entry, and what it was read from: one view, one statement. */
  async find(target: Target, path: Path): Promise<{ entry: FileEntry; info: TargetInfo }> {
    if (target.kind === 'branch') return this.#findInBranch(target, path)
    const root = await this.rootOf(target)
    return { entry: await this.#fromTree(root, path), info: await this.descriptions.describe(target) }
  }

  async list(target: Target, query: ListQuery): Promise<ListResult> {
    if (target.kind === 'commit') return listPage(treeCursor(this.#context.nodes, await this.rootOf(target)), query)
    const { db, nodes } = this.#context
    for (let attempt = 0; attempt < MAX_VIEW_TRIES; attempt++) {
      const view = await this.#view(db, target)
      if (view.scratch) return db.snapshot((queries) => this.#listWithScratch(queries, target, query))
      const overlay = await this.#overlays.open(db, view)
      if (overlay.kind === 'stale') continue
      return listPage(mergedCursor(treeCursor(nodes, view.root as TreeHash), overlay.cursor), query)
    }
    throw new Error(`the view of ${target.repo}@${target.branch} kept moving`)
  }

  /** Scratch files have no numbers to be seen at one time by, so the whole page is read from one state of the database. */
  async #listWithScratch(
    queries: Queries,
    target: Extract<Target, { kind: 'branch' }>,
    query: ListQuery,
  ): Promise<ListResult> {
    const view = await this.#view(queries, target)
    const branch = await this.cursorOf(queries, view)
    return listPage(mergedCursor(branch, new ScratchCursor(queries, view.branchId)), query)
  }

  /** The files of a view, but for scratch files. `queries` must be of the state of the database that the view was read from. */
  async cursorOf(queries: Queries, view: View): Promise<Cursor> {
    const staged = await this.#overlays.open(queries, view)
    // Somebody has listed a newer state meanwhile: this one is read by itself.
    const overlay = staged.kind === 'stale' ? await new Overlays().open(queries, view) : staged
    if (overlay.kind === 'stale') throw new Error('an overlay that is not kept went stale')
    return mergedCursor(treeCursor(this.#context.nodes, view.root as TreeHash), overlay.cursor)
  }

  /**
   * The tree of a finished commit. `toBuildOn`: what is made of it must be kept, so that a row has to have it still. Throws CommitNotFound,
   * CommitUnavailable.
   */
  async rootOf(
    target: Extract<Target, { kind: 'commit' }>,
    { toBuildOn = false }: { toBuildOn?: boolean } = {},
  ): Promise<TreeHash> {
    const roots = this.#roots
    const remembered = toBuildOn ? undefined : roots.get(target.commit)
    if (remembered) return remembered
    const row = await this.#context.db.get<{
      repo: string
      root: string
      state: 'open' | 'sealed' | 'finished' | 'failed'
      kind: string
      failure: string | null
    }>('SELECT repo, root, state, kind, failure FROM commits WHERE id = ?', [target.commit])
    if (!row || row.repo !== target.repo) {
      throw new CommitNotFound(`repo ${target.repo} has no commit ${target.commit}`, { commit: target.commit })
    }
    if (row.state !== 'finished') throw unavailable({ ...row, id: target.commit }, 'own')
    if (roots.size >= MAX_REMEMBERED_ROOTS) roots.clear()
    roots.set(target.commit, row.root as TreeHash)
    return row.root as TreeHash
  }

  async #findInBranch(
    target: Extract<Target, { kind: 'branch' }>,
    path: Path,
  ): Promise<{ entry: FileEntry; info: TargetInfo }> {
    if (scratchArea(path) !== undefined) {
      const scratch = await findScratch(this.#context.db, target, path)
      if (scratch) return { entry: scratch.entry, info: await this.descriptions.of(target, scratch.row) }
    }
    const settled = this.#settled.get(target)
    if (settled) return { entry: await this.#fromTree(settled.root, path), info: settled.info }
    const begun = this.#settled.begin()
    const row = await this.#finds.ask([target.repo, target.branch, path])
    if (!row) throw await missing(this.#context.db, target)
    const info = await this.descriptions.of(target, row)
    if (row.settled && row.mixed_branch === null)
      this.#settled.keep(begun, target, { root: row.root as TreeHash, info })
    const entry = await this.#entryOf(row, path)
    if (row.mixed_branch === null) return { entry, info }
    const isNull = await this.#nulls.includes(row.mixed_branch, row.versioned_from, entry.version)
    return { entry: isNull ? { ...entry, isNull } : entry, info }
  }

  async #entryOf(row: FindRow, path: Path): Promise<FileEntry> {
    if (row.seq === null) return this.#fromTree(row.root as TreeHash, path)
    if (!row.entry) throw new PathNotFound(path)
    const version = { commit: row.commit_id, seq: row.seq } as VersionId
    return { ...decodeEntry(row.entry), path, version }
  }

  // For each question one row gives the root and the newest staged change of the path: they belong to one view.
  async #askFinds(questions: readonly FindQuestion[]): Promise<readonly (FindRow | undefined)[]> {
    const rows = await this.#context.db.all<FindRow & { question: number }>(
      // max() is found in the index by path alone; joined by path, the planner would walk the whole staging area by seq.
      `SELECT w.key AS question, b.root, b.name AS branch, b.pipeline, s.id, s.state, c.entry,
              coalesce(c.of_seq, c.seq) AS seq, coalesce(c.of_commit, c.commit_id) AS commit_id,
              b.versioned_from IS NULL AS unversioned, b.versioned_from, b.folded_seq = b.last_seq AS settled, iif(b.unversioned IS NULL, NULL, b.id) AS mixed_branch
       FROM json_each(?) AS w
       CROSS JOIN branches AS b ON b.repo = w.value ->> 0 AND b.name = w.value ->> 1
       LEFT JOIN changes AS c ON c.branch_id = b.id AND c.seq = (
         SELECT max(seq) FROM changes WHERE branch_id = b.id AND path = w.value ->> 2 AND seq > b.folded_seq)
       LEFT JOIN commits AS s ON s.id = ${SHOWN_COMMIT}`,
      [JSON.stringify(questions)],
    )
    const answers: (FindRow | undefined)[] = new Array(questions.length)
    for (const row of rows) answers[row.question] = row
    return answers
  }

  async #fromTree(root: TreeHash, path: Path): Promise<FileEntry> {
    const item = await lookup(this.#context.nodes, root, Buffer.from(path))
    if (!item) throw new PathNotFound(path)
    return decodeLeaf(item.key, item.value)
  }

  async #view(
    queries: Queries,
    target: Extract<Target, { kind: 'branch' }>,
  ): Promise<View & { readonly scratch: number }> {
    const row = await queries.get<View & { readonly scratch: number }>(
      `SELECT id AS branchId, root, folded_seq AS foldedSeq, last_seq AS lastSeq,
              EXISTS (SELECT 1 FROM scratch WHERE branch_id = branches.id) AS scratch
       FROM branches WHERE repo = ? AND name = ?`,
      [target.repo, target.branch],
    )
    if (!row) throw await missing(queries, target)
    return row
  }
}
