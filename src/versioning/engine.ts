import type { Backups } from './backups.ts'
import type { ChangeResult, DeleteResult, FileWrite } from './changes.ts'
import type { Content } from './content/index.ts'
import {
  Batches,
  BranchMerges,
  BranchMoves,
  BranchTransactions,
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
  type GroupWritten,
  getBranch,
  getCommit,
  getRepo,
  type HistoryContext,
  type Landing,
  listBranches,
  listCommits,
  moveBranch,
  OpenCommits,
  parseRevision,
  protectBranch,
  provenanceOf,
  provenanceOfAll,
  type RepoRoles,
  readRepos,
  renamedBefore,
  renameFile,
  resolveRevision,
  resolveTarget,
  restoreBranch,
  Staging,
  StoredBranchSettings,
  StoredCommitTags,
  StoredHistory,
  StoredSharing,
  StoredVersions,
  Sweeper,
  setBatchRules,
  subvenanceOf,
  VersionTags,
  Views,
} from './history/index.ts'
import { type ImportPlace, StoredImports } from './imports/index.ts'
import type { StoreMaintenance } from './maintenance/index.ts'
import {
  type Branch,
  type BranchAddress,
  type Commit,
  type CommitId,
  type CommitRef,
  ConditionFailed,
  DEFAULT_BRANCH,
  type Path,
  type RepoName,
  type Target,
} from './model/index.ts'
import type { Retention } from './retention.ts'
import { createTrees } from './tree/index.ts'
import type { Trees } from './trees.ts'
import type { Versioning } from './versioning.ts'

type Method<Name extends keyof Versioning> = Versioning[Name] extends (...args: infer Args) => unknown ? Args : never

/** The parts of this floor behind its one interface. */
export class VersioningEngine implements Versioning {
  readonly content: Content
  readonly trees: Trees
  readonly uploads: BranchUploads
  readonly derived: DerivedBranches
  readonly versions: StoredVersions
  readonly tags: VersionTags
  readonly settings: StoredBranchSettings
  readonly sharing: StoredSharing
  readonly transactions: BranchTransactions
  readonly lookingBack: StoredHistory
  readonly moves: BranchMoves
  readonly merges: BranchMerges
  readonly commitTags: StoredCommitTags
  readonly roles: RepoRoles
  readonly imports: StoredImports
  readonly backups: Backups
  readonly maintenance: StoreMaintenance
  readonly retention: Retention
  readonly #context: HistoryContext
  readonly #staging: Staging
  readonly #batches: Batches
  readonly #finisher: Finisher
  readonly #open: OpenCommits
  readonly #sweeper: Sweeper
  readonly #views: Views
  readonly #release: () => Promise<void>

  constructor(
    context: HistoryContext,
    imports: ImportPlace,
    backups: Backups,
    retention: Retention,
    maintenance: StoreMaintenance,
    release: () => Promise<void>,
  ) {
    this.#context = context
    this.backups = backups
    this.maintenance = maintenance
    this.retention = retention
    this.#release = release
    this.content = context.content
    this.trees = createTrees(context.nodes)
    this.#finisher = new Finisher(context)
    this.#batches = new Batches({
      rules: context.batch,
      clock: context.clock,
      log: context.log,
      seal: (at) => this.#open.sealIdle(at),
    })
    this.#open = new OpenCommits(context, this.#batches, this.#finisher)
    const onWritten = (group: GroupWritten) => {
      this.#batches.written(group)
      this.#finisher.written(group)
    }
    this.#staging = new Staging(context, onWritten)
    this.#views = new Views(context)
    this.lookingBack = new StoredHistory(context, this.#views)
    this.versions = new StoredVersions({
      context,
      staging: this.#staging,
      views: this.#views,
      onWritten,
      onSealed: (at, branchId) => this.#open.sealed(at, branchId),
      finished: (commit) => this.waitForCommit(commit),
    })
    this.roles = context.roles
    this.tags = new VersionTags(context.db)
    this.settings = new StoredBranchSettings(context.db)
    this.sharing = new StoredSharing(context.db)
    this.uploads = new BranchUploads(context, this.#staging, this.#batches, this)
    this.derived = new DerivedBranches(context)
    this.#sweeper = new Sweeper(context, () => this.#batches.forgetQuiet())
    const landing: Landing = {
      context,
      waitForCommit: (commit) => this.waitForCommit(commit),
      sealed: (at, branchId) => this.#open.sealed(at, branchId),
    }
    this.merges = new BranchMerges(landing)
    this.moves = new BranchMoves({ landing, views: this.#views, tags: this.tags, sharing: this.sharing })
    this.commitTags = new StoredCommitTags(context)
    this.imports = new StoredImports({
      ...imports,
      context,
      landing,
      settle: (at) => this.#open.settle(at),
    })
    this.transactions = new BranchTransactions(context, {
      settle: (at) => this.#open.settle(at),
      waitForCommit: (commit) => this.waitForCommit(commit),
      sealed: (at, branchId) => this.#open.sealed(at, branchId),
      dropped: () => this.#sweeper.wake(),
    })
  }

  /** Takes up what was open when the store was last used. */
  async start(): Promise<void> {
    await this.tags.open()
    await this.sharing.open()
    await this.imports.start()
    await this.#open.takeUp()
    await this.#finisher.start()
    await this.maintenance.purges.start()
    this.#sweeper.start()
  }

  async createRepo(...[name, input = {}]: Method<'createRepo'>) {
    const { clock, db, versioned } = this.#context
    const made = await createRepo(db, name, { ...input, nowMs: clock.now(), defaultBranch: DEFAULT_BRANCH, versioned })
    this.roles.changed()
    return made
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
    this.commitTags.changed()
    this.roles.changed()
    for (const branch of branches) this.#batches.forget({ repo: name, branch: branch.name })
    this.#sweeper.wake()
    this.#context.signal.notify()
  }

  async createBranch(...[at, input = {}]: Method<'createBranch'>): ReturnType<Versioning['createBranch']> {
    const bucket = input.bucket ?? `${at.branch}.${at.repo}`
    const { clock, db, versioned } = this.#context
    const made = await db.write((tx) => ensureBranch(tx, at, { ...input, nowMs: clock.now(), bucket, versioned }))
    if (made) this.roles.changed()
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
    this.roles.changed()
    this.#batches.forget(at)
    this.#sweeper.wake()
    this.#context.signal.notify()
  }

  async moveBranch(...[at, to, input = {}]: Method<'moveBranch'>): ReturnType<Versioning['moveBranch']> {
    const moved = await moveBranch(this.#context, at, to, input)
    if (moved) this.#open.sealed(at, moved.branchId)
    const branch = await this.getBranch(at)
    return moved
      ? { kind: 'moved', branch, ...(moved.left ? { left: moved.left } : {}) }
      : { kind: 'unchanged', branch }
  }

  async protectBranch(...[at, isProtected]: Method<'protectBranch'>): Promise<Branch> {
    const { branchId, sealed } = await protectBranch(this.#context, at, isProtected)
    if (sealed) this.#open.sealed(at, branchId)
    return this.getBranch(at)
  }

  resolve(repo: RepoName, name: string | undefined) {
    return resolveTarget(this.#context.db, this.commitTags, repo, name)
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

  rewriting(at: BranchAddress): void {
    this.#batches.rewriting(at)
  }

  preparing(at: BranchAddress): void {
    this.#batches.preparing(at)
  }

  batchRules(at: BranchAddress) {
    return this.#batches.rulesOf(at)
  }

  setBatchRules(...[at, rules]: Method<'setBatchRules'>): Promise<void> {
    return setBatchRules(this.#context.db, this.#batches, at, rules)
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
    return this.#change(at, {
      path,
      entry,
      chunks: staged.chunks,
      relies: staged.relies,
      conditions,
      author,
      ...this.#beside(write),
    }).catch((error: unknown) => discardRefused(this.content, staged, error))
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
    const relies = content.kind === 'inline' ? [] : [content.sha256]
    return this.#change(at, {
      path,
      entry,
      chunks: [],
      relies,
      copied: true,
      conditions,
      author,
      ...this.#beside(input),
    })
  }

  async renamed(...[at, rename]: Method<'renamed'>): Promise<boolean> {
    return (await renamedBefore(this.#context.db, at, rename)) !== undefined
  }

  rename(...[at, input]: Method<'rename'>): Promise<ChangeResult> {
    return renameFile(
      { context: this.#context, staging: this.#staging, tags: this.tags, sharing: this.sharing },
      at,
      input,
    )
  }

  async delete(...[at, path, input = {}]: Method<'delete'>): Promise<DeleteResult> {
    const { modifiedMs: _modifiedMs, ...result } = await this.#change(at, {
      path,
      entry: null,
      chunks: [],
      conditions: input.conditions,
      author: input.author,
    })
    return result
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
      if (outcome.error instanceof ConditionFailed) return { kind: 'refused', error: outcome.error }
      throw outcome.error
    })
  }

  async getCommit(repo: RepoName, id: CommitId) {
    return this.#batches.describeHold(await getCommit(this.#context.db, repo, id))
  }

  async listCommits(...[repo, query]: Method<'listCommits'>) {
    const commits = await listCommits(this.#context.db, repo, query)
    return commits.map((commit) => this.#batches.describeHold(commit))
  }

  provenance(commit: CommitId) {
    return provenanceOf(this.#context.db, commit)
  }

  provenances(commits: readonly CommitId[]) {
    return provenanceOfAll(this.#context.db, commits)
  }

  subvenance(commit: CommitId) {
    return subvenanceOf(this.#context.db, commit)
  }

  async startCommit(...[at, input = {}]: Method<'startCommit'>): Promise<Commit> {
    return this.getCommit(at.repo, await this.#open.pin(at, input))
  }

  async finishCommit(...[at, input = {}]: Method<'finishCommit'>): Promise<Commit> {
    return this.waitForCommit(await this.#open.finish(at, input))
  }

  seal(...[at, input = {}]: Method<'seal'>): Promise<CommitRef | undefined> {
    return this.#open.seal(at, input)
  }

  waitForCommit(commit: CommitId, signal?: AbortSignal): Promise<Commit> {
    return this.#open.waitFor(commit, signal)
  }

  async restore(...[at, to, input = {}]: Method<'restore'>): Promise<Commit> {
    const { commit, branchId } = await restoreBranch(this.#context, at, to, input)
    this.#open.sealed(at, branchId)
    return this.waitForCommit(commit)
  }

  diff(...[before, after, query]: Method<'diff'>): ReturnType<Versioning['diff']> {
    return this.lookingBack.diff(before, after, query)
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
    await this.maintenance.close()
    await this.imports.close()
    await this.#sweeper.close()
    await this.#staging.idle()
    await this.#finisher.close()
    await this.#context.treeWork.close()
    await this.content.close()
    await this.#release()
  }

  /** What stands beside the tree, and is written with the change. */
  #beside({ tags = [], access = 'private' }: Pick<FileWrite, 'tags' | 'access'>): Pick<ChangeRequest, 'within'> {
    if (tags.length === 0 && access === 'private') return {}
    return {
      within: async (tx, _branch, version) => {
        await this.tags.write(tx, version, tags)
        await this.sharing.write(tx, version, access)
      },
    }
  }

  async #change(at: BranchAddress, request: ChangeRequest) {
    const [outcome] = await this.#staging.submit(at, [request])
    if (outcome!.kind === 'refused') throw outcome!.error
    return outcome!.staged
  }

  /** Of the branch that the revision names, if it names one. */
  async #settle(repo: RepoName, revision: string): Promise<void> {
    const target = await this.resolve(repo, parseRevision(revision).base)
    if (target.kind === 'branch') await this.#open.settle(target)
  }
}
