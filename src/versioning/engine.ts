import type { Backups } from './backups.ts'
import type { Content } from './content/index.ts'
import { type EngineParts, type History, wireHistory } from './engine-parts.ts'
import {
  createRepo,
  deleteBranch,
  deleteRepo,
  ensureBranch,
  findCommit,
  flushCommits,
  getBranch,
  getCommit,
  getRepo,
  type HistoryContext,
  listBranches,
  listCommits,
  moveBranch,
  parseRevision,
  protectBranch,
  provenanceOf,
  provenanceOfAll,
  readRepos,
  resolveRevision,
  resolveTarget,
  restoreBranch,
  setBatchRules,
  subvenanceOf,
} from './history/index.ts'
import type { StoreMaintenance } from './maintenance/index.ts'
import {
  type Branch,
  type BranchAddress,
  type Commit,
  type CommitId,
  type CommitRef,
  DEFAULT_BRANCH,
  type Path,
  type RepoName,
  type Target,
} from './model/index.ts'
import type { Retention } from './retention.ts'
import type { Trees } from './trees.ts'
import type { Versioning } from './versioning.ts'

type Method<Name extends keyof Versioning> = Versioning[Name] extends (...args: infer Args) => unknown ? Args : never

/** The parts of this floor behind its one interface. */
export class VersioningEngine implements Versioning {
  readonly content: Content
  readonly trees: Trees
  readonly uploads: History['uploads']
  readonly derived: History['derived']
  readonly versions: History['versions']
  readonly tags: History['tags']
  readonly settings: History['settings']
  readonly sharing: History['sharing']
  readonly transactions: History['transactions']
  readonly lookingBack: History['lookingBack']
  readonly moves: History['moves']
  readonly merges: History['merges']
  readonly commitTags: History['commitTags']
  readonly roles: History['roles']
  readonly imports: History['imports']
  readonly backups: Backups
  readonly maintenance: StoreMaintenance
  readonly retention: Retention
  readonly #context: HistoryContext
  readonly #history: History
  readonly #release: () => Promise<void>

  constructor(parts: EngineParts, release: () => Promise<void>) {
    const { context, backups, retention, maintenance } = parts
    const history = wireHistory(context, parts.imports)
    this.#context = context
    this.#history = history
    this.#release = release
    this.backups = backups
    this.maintenance = maintenance
    this.retention = retention
    this.content = history.content
    this.trees = history.trees
    this.uploads = history.uploads
    this.derived = history.derived
    this.versions = history.versions
    this.tags = history.tags
    this.settings = history.settings
    this.sharing = history.sharing
    this.transactions = history.transactions
    this.lookingBack = history.lookingBack
    this.moves = history.moves
    this.merges = history.merges
    this.commitTags = history.commitTags
    this.roles = history.roles
    this.imports = history.imports
  }

  /** Takes up what was open when the store was last used. */
  async start(): Promise<void> {
    await this.tags.open()
    await this.sharing.open()
    await this.imports.start()
    await this.#history.open.takeUp()
    await this.#history.finisher.start()
    await this.maintenance.purges.start()
    this.#history.sweeper.start()
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
    for (const branch of branches) this.#history.batches.forget({ repo: name, branch: branch.name })
    this.#history.sweeper.wake()
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
        input.force
          ? undefined
          : async () => (await this.#history.views.list(target, { limit: 1 })).entries.length === 0,
      ),
    )
    this.roles.changed()
    this.#history.batches.forget(at)
    this.#history.sweeper.wake()
    this.#context.signal.notify()
  }

  async moveBranch(...[at, to, input = {}]: Method<'moveBranch'>): ReturnType<Versioning['moveBranch']> {
    const moved = await moveBranch(this.#context, at, to, input)
    if (moved) this.#history.open.sealed(at, moved.branchId)
    const branch = await this.getBranch(at)
    return moved
      ? { kind: 'moved', branch, ...(moved.left ? { left: moved.left } : {}) }
      : { kind: 'unchanged', branch }
  }

  async protectBranch(...[at, isProtected]: Method<'protectBranch'>): Promise<Branch> {
    const { branchId, sealed } = await protectBranch(this.#context, at, isProtected)
    if (sealed) this.#history.open.sealed(at, branchId)
    return this.getBranch(at)
  }

  resolve(repo: RepoName, name: string | undefined) {
    return resolveTarget(this.#context.db, this.commitTags, repo, name)
  }

  describe(target: Target) {
    return this.#history.views.descriptions.describe(target)
  }

  async resolveRevision(repo: RepoName, revision: string, options: { settle?: boolean } = {}): Promise<CommitId> {
    if (options.settle) await this.#settle(repo, revision)
    return resolveRevision(this.#context.db, repo, revision)
  }

  findCommit(id: string) {
    return findCommit(this.#context.db, id)
  }

  async stat(target: Target, path: Path) {
    return (await this.#history.views.find(target, path)).entry
  }

  find(target: Target, path: Path) {
    return this.#history.views.find(target, path)
  }

  list(...[target, query]: Method<'list'>) {
    return this.#history.views.list(target, query)
  }

  rewriting(at: BranchAddress): void {
    this.#history.batches.rewriting(at)
  }

  preparing(at: BranchAddress): void {
    this.#history.batches.preparing(at)
  }

  batchRules(at: BranchAddress) {
    return this.#history.batches.rulesOf(at)
  }

  setBatchRules(...[at, rules]: Method<'setBatchRules'>): Promise<void> {
    return setBatchRules(this.#context.db, this.#history.batches, at, rules)
  }

  writing(at: BranchAddress): () => void {
    return this.#history.batches.writing(at)
  }

  put(...[at, write]: Method<'put'>) {
    return this.#history.files.put(at, write)
  }

  copy(...[at, path, input]: Method<'copy'>) {
    return this.#history.files.copy(at, path, input)
  }

  renamed(...[at, rename]: Method<'renamed'>) {
    return this.#history.files.renamed(at, rename)
  }

  rename(...[at, input]: Method<'rename'>) {
    return this.#history.files.rename(at, input)
  }

  delete(...[at, path, input]: Method<'delete'>) {
    return this.#history.files.delete(at, path, input)
  }

  deleteMany(...[at, deletes, author]: Method<'deleteMany'>) {
    return this.#history.files.deleteMany(at, deletes, author)
  }

  async getCommit(repo: RepoName, id: CommitId) {
    return this.#history.batches.describeHold(await getCommit(this.#context.db, repo, id))
  }

  async listCommits(...[repo, query]: Method<'listCommits'>) {
    const commits = await listCommits(this.#context.db, repo, query)
    return commits.map((commit) => this.#history.batches.describeHold(commit))
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
    return this.getCommit(at.repo, await this.#history.open.pin(at, input))
  }

  async finishCommit(...[at, input = {}]: Method<'finishCommit'>): Promise<Commit> {
    return this.waitForCommit(await this.#history.open.finish(at, input))
  }

  seal(...[at, input = {}]: Method<'seal'>): Promise<CommitRef | undefined> {
    return this.#history.open.seal(at, input)
  }

  waitForCommit(commit: CommitId, signal?: AbortSignal): Promise<Commit> {
    return this.#history.open.waitFor(commit, signal)
  }

  async restore(...[at, to, input = {}]: Method<'restore'>): Promise<Commit> {
    const { commit, branchId } = await restoreBranch(this.#context, at, to, input)
    this.#history.open.sealed(at, branchId)
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
    this.#history.batches.close()
    await this.maintenance.close()
    await this.imports.close()
    await this.#history.sweeper.close()
    await this.#history.staging.idle()
    await this.#history.finisher.close()
    await this.#context.treeWork.close()
    await this.content.close()
    await this.#release()
  }

  /** Of the branch that the revision names, if it names one. */
  async #settle(repo: RepoName, revision: string): Promise<void> {
    const target = await this.resolve(repo, parseRevision(revision).base)
    if (target.kind === 'branch') await this.#history.open.settle(target)
  }
}
