import type { Content } from './content/index.ts'
import {
  Batches,
  BranchUploads,
  type ChangeRequest,
  controlReason,
  createRepo,
  DerivedBranches,
  deleteBranch,
  deleteRepo,
  discardRefused,
  ensureBranch,
  Finisher,
  findCommit,
  flushCommits,
  getBranch,
  getCommit,
  getRepo,
  type HistoryContext,
  listBranches,
  listCommits,
  openBatch,
  provenanceOf,
  readRepos,
  resolveRevision,
  resolveTarget,
  restoreBranch,
  Staging,
  sealOpenBatch,
  subvenanceOf,
  Views,
  writableBranch,
} from './history/index.ts'
import {
  type Branch,
  type BranchName,
  type Commit,
  type CommitId,
  CommitNotFound,
  type CommitRef,
  DEFAULT_BRANCH,
  type Path,
  type RepoName,
  type Target,
} from './model/index.ts'
import { createTrees, EMPTY_TREE } from './tree/index.ts'
import type { BranchAddress, ChangeResult, DeleteResult, FileWrite, Trees, Versioning } from './versioning.ts'

/** Another process may change things without this one being told. */
const POLL_MS = 1_000

type Method<Name extends keyof Versioning> = Versioning[Name] extends (...args: infer Args) => unknown ? Args : never

/** The parts of this floor behind its one interface. */
export class VersioningEngine implements Versioning {
  readonly content: Content
  readonly trees: Trees
  readonly uploads: BranchUploads
  readonly derived: DerivedBranches
  readonly #context: HistoryContext
  readonly #staging: Staging
  readonly #batches: Batches
  readonly #finisher: Finisher
  readonly #views: Views
  readonly #release: () => Promise<void>

  constructor(context: HistoryContext, release: () => Promise<void>) {
    this.#context = context
    this.#release = release
    this.content = context.content
    this.trees = createTrees(context.nodes)
    this.#finisher = new Finisher(context)
    this.#batches = new Batches({
      rules: context.batch,
      clock: context.clock,
      log: context.log,
      seal: (at) => this.#sealIdle(at),
    })
    this.#staging = new Staging(context, (group) => {
      this.#batches.written(group)
      this.#finisher.written(group)
    })
    this.#views = new Views(context)
    this.uploads = new BranchUploads(context, this.#staging, this.#batches)
    this.derived = new DerivedBranches(context)
  }

  /** Takes up what was open when the store was last used. */
  async start(): Promise<void> {
    const open = await this.#context.db.all<{ repo: string; branch: string; started_ms: number; changes: number }>(
      `SELECT c.repo, c.branch, c.started_ms, b.last_seq - c.from_seq AS changes FROM commits AS c
       JOIN branches AS b ON b.open_commit = c.id WHERE c.state = 'open' AND c.pinned = 0`,
    )
    for (const row of open) {
      this.#batches.found({ repo: row.repo as RepoName, branch: row.branch as BranchName }, row.started_ms, row.changes)
    }
    await this.#finisher.start()
  }

  createRepo(name: RepoName, input: { description?: string } = {}) {
    const nowMs = this.#context.clock.now()
    return createRepo(this.#context.db, name, { ...input, nowMs, defaultBranch: DEFAULT_BRANCH })
  }

  getRepo(name: RepoName) {
    return getRepo(this.#context.db, name)
  }

  listRepos() {
    return readRepos(this.#context.db)
  }

  async deleteRepo(name: RepoName): Promise<void> {
    const branches = await this.listBranches(name)
    await this.#context.db.write((tx) => deleteRepo(tx, name))
    for (const branch of branches) this.#batches.sealed({ repo: name, branch: branch.name })
    this.#context.signal.notify()
  }

  async createBranch(
    at: BranchAddress,
    input: { from?: CommitId; bucket?: string } = {},
  ): Promise<{ kind: 'created' | 'existing'; branch: Branch }> {
    const bucket = input.bucket ?? `${at.branch}.${at.repo}`
    const nowMs = this.#context.clock.now()
    const from = input.from === undefined ? {} : { from: input.from }
    const made = await this.#context.db.write((tx) => ensureBranch(tx, at, { nowMs, bucket, ...from }))
    return { kind: made ? 'created' : 'existing', branch: await this.getBranch(at) }
  }

  getBranch(at: BranchAddress) {
    return getBranch(this.#context.db, at)
  }

  listBranches(repo?: RepoName) {
    return listBranches(this.#context.db, repo)
  }

  async deleteBranch(at: BranchAddress, input: { force?: boolean } = {}): Promise<void> {
    const target: Target = { kind: 'branch', ...at }
    await this.#context.db.write((tx) =>
      // The writer lane is ours: what the view shows now is what is deleted.
      deleteBranch(
        tx,
        at,
        input.force ? undefined : async () => (await this.#views.list(target, { limit: 1 })).entries.length === 0,
      ),
    )
    this.#batches.sealed(at)
    this.#context.signal.notify()
  }

  resolve(repo: RepoName, name: string | undefined) {
    return resolveTarget(this.#context.db, repo, name)
  }

  describe(target: Target) {
    return this.#views.descriptions.describe(target)
  }

  async resolveRevision(repo: RepoName, revision: string, options: { settle?: boolean } = {}): Promise<CommitId> {
    if (options.settle) await this.#settle(repo, revision)
    return resolveRevision(this.#context.db, repo, revision)
  }

  findCommit(id: string) {
    return findCommit(this.#context.db, id)
  }

  async stat(target: Target, path: Path) {
    return (await this.#views.find(target, path)).entry
  }

  find(target: Target, path: Path) {
    return this.#views.find(target, path)
  }

  list(...[target, query]: Method<'list'>) {
    return this.#views.list(target, query)
  }

  writing(at: BranchAddress): () => void {
    return this.#batches.writing(at)
  }

  put(at: BranchAddress, write: FileWrite): Promise<ChangeResult> {
    const { path, staged, etag, attributes, checksum, conditions, author } = write
    const modifiedMs = this.#context.clock.now()
    const entry = {
      size: staged.size,
      etag,
      content: staged.content,
      modifiedMs,
      attributes,
      ...(checksum ? { checksum } : {}),
    }
    return this.#change(at, { path, entry, chunks: staged.chunks, conditions, author }).catch((error: unknown) =>
      discardRefused(this.content, staged, error),
    )
  }

  copy(...[at, path, input]: Method<'copy'>): Promise<ChangeResult> {
    const { source, attributes, checksum, conditions, author } = input
    const { size, etag, content, parts } = source
    const kept = checksum ?? source.checksum
    const entry = {
      size,
      etag,
      content,
      modifiedMs: this.#context.clock.now(),
      attributes,
      ...(kept ? { checksum: kept } : {}),
      ...(parts === undefined ? {} : { parts }),
    }
    return this.#change(at, { path, entry, chunks: [], conditions, author })
  }

  async delete(...[at, path, input = {}]: Method<'delete'>): Promise<DeleteResult> {
    const { version, commit, existed } = await this.#change(at, {
      path,
      entry: null,
      chunks: [],
      conditions: input.conditions,
      author: input.author,
    })
    return { version, commit, existed }
  }

  async deleteMany(...[at, deletes, author]: Method<'deleteMany'>): ReturnType<Versioning['deleteMany']> {
    for (const { path } of deletes) {
      const refused = controlReason(path)
      if (refused) throw refused
    }
    const outcomes = await this.#staging.submit(
      at,
      deletes.map(({ path, conditions }) => ({ path, entry: null, chunks: [], conditions, author })),
    )
    return outcomes.map((outcome) => {
      if (outcome.kind === 'done') return { kind: 'deleted', result: outcome.staged }
      const { error } = outcome
      if ('code' in error && error.code === 'ConditionFailed' && 'data' in error) {
        return { kind: 'refused', error: error as Error & { code: 'ConditionFailed'; data: Record<string, unknown> } }
      }
      throw error
    })
  }

  getCommit(repo: RepoName, id: CommitId) {
    return getCommit(this.#context.db, repo, id)
  }

  listCommits(...[repo, query]: Method<'listCommits'>) {
    return listCommits(this.#context.db, repo, query)
  }

  provenance(commit: CommitId) {
    return provenanceOf(this.#context.db, commit)
  }

  subvenance(commit: CommitId) {
    return subvenanceOf(this.#context.db, commit)
  }

  async startCommit(...[at, input = {}]: Method<'startCommit'>): Promise<Commit> {
    const { clock, db } = this.#context
    const id = await db.write(async (tx) => {
      const branch = await writableBranch(tx, at)
      const commit = (branch.open_commit ?? this.#context.newCommitId()) as CommitId
      if (!branch.open_commit) await openBatch(tx, branch.id, commit, { nowMs: clock.now(), pinned: true })
      await tx.run('UPDATE commits SET pinned = 1, message = coalesce(?, message) WHERE id = ?', [
        input.message ?? null,
        commit,
      ])
      if (input.author) {
        await tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
      }
      return commit
    })
    return this.getCommit(at.repo, id)
  }

  async finishCommit(...[at, input = {}]: Method<'finishCommit'>): Promise<Commit> {
    const { branchId, sealed } = await this.#context.db.write(async (tx) => {
      const branch = await writableBranch(tx, at)
      const sealed = await sealOpenBatch(tx, branch.id, { includePinned: true })
      if (!sealed) {
        const data = { repo: at.repo, branch: at.branch }
        throw new CommitNotFound(`${at.repo}@${at.branch} has no open commit to finish`, data)
      }
      if (input.message !== undefined) {
        await tx.run('UPDATE commits SET message = ? WHERE id = ?', [input.message, sealed])
      }
      return { branchId: branch.id, sealed }
    })
    this.#sealed(at, branchId)
    return this.waitForCommit(sealed)
  }

  async seal(...[at, input = {}]: Method<'seal'>): Promise<CommitRef | undefined> {
    const branch = await this.getBranch(at)
    // Read in the transaction that seals: a PUT right after it opens a batch that nobody asked about.
    const { sealed, newest } = await this.#context.db.write(async (tx) => {
      const sealed = branch.derived
        ? undefined
        : await sealOpenBatch(tx, branch.id, { includePinned: input.force ?? false })
      const row = await tx.get<{ id: string | null }>(
        'SELECT coalesce(open_commit, tip, head) AS id FROM branches WHERE id = ?',
        [branch.id],
      )
      return { sealed, newest: row?.id as CommitId | null | undefined }
    })
    if (sealed) this.#sealed(at, branch.id)
    return newest ? { repo: at.repo, commit: newest } : undefined
  }

  async waitForCommit(commit: CommitId, signal?: AbortSignal): Promise<Commit> {
    const subscription = this.#context.signal.subscribe()
    try {
      for (;;) {
        const { repo } = await this.findCommit(commit)
        const found = await this.getCommit(repo, commit)
        if (found.state === 'finished' || found.state === 'failed' || signal?.aborted) return found
        await subscription.changed(POLL_MS, signal)
      }
    } finally {
      subscription.end()
    }
  }

  async restore(...[at, to, input = {}]: Method<'restore'>): Promise<Commit> {
    const { commit, branchId } = await restoreBranch(this.#context, at, to, input)
    this.#sealed(at, branchId)
    return this.waitForCommit(commit)
  }

  async *diff(...[before, after, options]: Method<'diff'>): ReturnType<Versioning['diff']> {
    const from = before === 'empty' ? EMPTY_TREE : await this.#rootOf(before)
    yield* this.trees.diff(from, await this.#rootOf(after), options)
  }

  flush(...[commits, options = {}]: Method<'flush'>) {
    return flushCommits(this.#context.db, this.#context.signal, commits, options)
  }

  onChange(listener: () => void): () => void {
    return this.#context.signal.listen(listener)
  }

  get full(): boolean {
    return this.content.full
  }

  async close(): Promise<void> {
    this.#batches.close()
    await this.#staging.idle()
    await this.#finisher.close()
    await this.#context.treeWork.close()
    await this.content.close()
    await this.#release()
  }

  async #change(at: BranchAddress, request: ChangeRequest) {
    const [outcome] = await this.#staging.submit(at, [request])
    if (outcome!.kind === 'refused') throw outcome!.error
    return outcome!.staged
  }

  async #rootOf(commit: CommitId) {
    const { repo } = await this.findCommit(commit)
    return this.#views.rootOf({ kind: 'commit', repo, commit })
  }

  /** Whatever was acknowledged before is part of the head after. */
  async #settle(repo: RepoName, revision: string): Promise<void> {
    const base = revision.split('^', 1)[0]!
    const target = await this.resolve(repo, base)
    if (target.kind !== 'branch') return
    await this.seal(target)
    // Not the open batch, if there is one: that is pinned, or was opened after this was asked.
    const row = await this.#context.db.get<{ tip: string | null }>(
      'SELECT tip FROM branches WHERE repo = ? AND name = ? AND pipeline IS NULL',
      [target.repo, target.branch],
    )
    if (row?.tip) await this.waitForCommit(row.tip as CommitId)
  }

  async #sealIdle(at: BranchAddress): Promise<void> {
    const row = await this.#context.db.get<{ id: number }>('SELECT id FROM branches WHERE repo = ? AND name = ?', [
      at.repo,
      at.branch,
    ])
    if (!row) return
    const sealed = await this.#context.db.write((tx) => sealOpenBatch(tx, row.id, { includePinned: false }))
    if (sealed) this.#sealed(at, row.id)
  }

  #sealed(at: BranchAddress, branchId: number): void {
    this.#batches.sealed(at)
    this.#finisher.wake(branchId)
  }
}
