import type { Answer, Line, Machine, Operation, Place, Question, When } from './machine.ts'
import { id } from './machine.ts'
import { observe } from './reference-see.ts'
import { deleteVersions } from './reference-versions.ts'
import { type Commit, etagOf, type LineState, Refusal, State, sameBody, type Version } from './state.ts'

/** How operations beyond this file change the state: merges, tags, moves. */
export type Extension = (reference: Reference, operation: Operation) => Answer | undefined

/**
 * The whole engine in maps, as the documents describe it: what every operation answers and what anybody sees after it. Nothing here is
 * fast, durable or shared; it is meant to be read and believed.
 */
export class Reference implements Machine {
  readonly state = new State()
  readonly #extensions: readonly Extension[]

  constructor(extensions: readonly Extension[] = []) {
    this.#extensions = extensions
  }

  see(question: Question): Answer {
    return refusable(() => observe(this, question))
  }

  do(operation: Operation): Answer {
    this.state.now++
    return refusable(() => this.#do(operation))
  }

  #do(operation: Operation): Answer {
    switch (operation.do) {
      case 'put':
      case 'upload': {
        const line = this.writable(operation.at)
        if (operation.do === 'put') check(line, operation.path, operation.when)
        const conditional = operation.do === 'put' && operation.when !== undefined
        const author = operation.do === 'put' ? operation.author : undefined
        return this.written(
          line,
          this.write(line, operation.path, operation.body, { conditional, ...(author ? { author } : {}) }),
        )
      }
      case 'delete': {
        const line = this.writable(operation.at)
        check(line, operation.path, operation.when)
        return this.#delete(line, operation.path, operation.when !== undefined)
      }
      case 'deleteMany': {
        const line = this.writable(operation.at)
        return operation.paths.map((path) => this.#delete(line, path, false))
      }
      case 'deleteVersions':
        return deleteVersions(this, this.writable(operation.at), operation.path, operation.versions)
      case 'copy': {
        const source = this.fileAt(operation.from, operation.source)
        const line = this.writable(operation.at)
        return this.written(line, this.write(line, operation.path, source.body))
      }
      case 'rename': {
        const source = this.fileAt(operation.at, operation.source)
        const line = this.writable(operation.at)
        // A file keeps its time where it goes.
        const version = this.write(line, operation.path, source.body, { at: source.at })
        this.write(line, operation.source, null)
        return this.written(line, version)
      }
      case 'seal':
        return this.#seal(operation.at, operation.force)
      case 'startCommit': {
        const line = this.writable(operation.at)
        return id(this.openBatch(line, { pinned: true, message: operation.message }).id)
      }
      case 'finishCommit': {
        const line = this.writable(operation.at)
        if (line.open === undefined || line.onto) throw new Refusal('NothingToFinish')
        const { open } = line
        this.seal(line)
        this.change(open, { message: operation.message })
        return id(open)
      }
      case 'createBranch':
        return this.#createBranch(operation.branch, operation.from)
      case 'deleteBranch':
        return this.#deleteBranch(operation.branch, operation.force)
      case 'restore': {
        const line = this.writable(operation.at)
        const target = this.finished(operation.to)
        return id(this.landTree(line, new Map(target.tree), { message: `restore ${operation.to}` }).id)
      }
      case 'open':
        return this.#open(operation.at)
      case 'finish':
        return this.#finish(operation.at, operation.message)
      case 'abort':
        return this.#abort(operation.at)
      case 'gc':
      case 'crash':
      case 'reopen':
        // Nobody sees anything of it.
        return null
      default: {
        for (const extension of this.#extensions) {
          const answer = extension(this, operation)
          if (answer !== undefined) return answer
        }
        throw new Error(`the reference has no ${operation.do}`)
      }
    }
  }

  // Lines and what they show.

  line(at: Line): LineState {
    const key = at.transaction === undefined ? at.branch : `${at.transaction}.${at.branch}`
    const found = (at.transaction === undefined ? this.state.branches : this.state.transactions).get(key)
    if (found) return found
    throw new Refusal(this.state.branches.size === 0 ? 'RepoNotFound' : 'BranchNotFound')
  }

  writable(at: Line): LineState {
    const line = this.line(at)
    if (line.protected) throw new Refusal('ReadOnly')
    return line
  }

  /** Of a commit that can be read. */
  finished(name: string): Commit {
    const commit = this.state.commits.get(name)
    if (!commit) throw new Refusal('CommitNotFound')
    if (!commit.finished) throw new Refusal('CommitUnavailable')
    return commit
  }

  place(at: Place): Pick<Commit, 'tree' | 'history'> {
    if ('commit' in at) return this.finished(at.commit)
    if ('tag' in at) {
      const commit = this.state.tags.get(at.tag)
      if (commit === undefined) throw new Refusal('BranchNotFound')
      return this.finished(commit)
    }
    const line = this.line(at)
    return { tree: line.view, history: line.history }
  }

  fileAt(at: Place, path: string): Version {
    const found = this.place(at).tree.get(path)
    if (!found) throw new Refusal('PathNotFound')
    return found
  }

  // Writing.

  write(
    line: LineState,
    path: string,
    body: Version['body'],
    more: { conditional?: boolean; author?: string; at?: number } = {},
  ): Version {
    const batch = this.openBatch(line)
    if (more.author !== undefined) this.change(batch.id, { authors: new Set([...batch.authors, more.author]) })
    const version = { id: this.state.newId('v'), path, body, at: more.at ?? this.state.now }
    line.history = { ...line.history, versions: [...line.history.versions, version] }
    line.writes.push({ path, conditional: more.conditional ?? false })
    if (body === null) line.view.delete(path)
    else line.view.set(path, version)
    return version
  }

  written(line: LineState, version: Version): Answer {
    return { version: id(version.id), commit: id(line.open!) }
  }

  #delete(line: LineState, path: string, conditional: boolean): Answer {
    const existed = line.view.has(path)
    const version = this.write(line, path, null, { conditional })
    return { ...(this.written(line, version) as object), existed }
  }

  // Batches and commits.

  openBatch(line: LineState, input: { pinned?: boolean; message?: string } = {}): Commit {
    if (line.open === undefined) {
      line.open = this.state.newId('c')
      this.#addCommit(line, { id: line.open, parents: [], finished: false, message: '' })
    }
    return this.change(line.open, input)
  }

  #addCommit(line: LineState, of: Pick<Commit, 'id' | 'parents' | 'finished' | 'message'>): Commit {
    const commit: Commit = {
      ...of,
      line,
      pinned: false,
      tree: new Map(line.view),
      history: line.history,
      writes: line.writes.length,
      moves: line.moves,
      authors: new Set(),
      ordinal: ++line.ordinals,
    }
    this.state.commits.set(commit.id, commit)
    return commit
  }

  change(name: string, changes: Partial<Commit>): Commit {
    const changed = { ...this.state.commits.get(name)!, ...changes }
    this.state.commits.set(name, changed)
    return changed
  }

  /** Makes the batch a commit, whoever holds it. */
  seal(line: LineState): void {
    if (line.open === undefined) return
    this.change(line.open, {
      finished: true,
      pinned: false,
      parents: line.tip === undefined ? [] : [line.tip],
      tree: new Map(line.view),
      history: this.#historyNow(line),
      writes: line.writes.length,
      moves: line.moves,
    })
    line.tip = line.open
    delete line.open
  }

  #seal(at: Line, force: boolean): Answer {
    const line = this.line(at)
    if (!line.onto && line.open !== undefined && (force || !this.state.commits.get(line.open)!.pinned)) this.seal(line)
    const newest = line.open ?? line.tip
    return newest === undefined ? null : id(newest)
  }

  /** One new commit with this tree, after what the branch has gathered. */
  landTree(line: LineState, tree: Map<string, Version>, input: { message: string; mergeParent?: string }): Commit {
    this.seal(line)
    line.view = tree
    // What was never here is a version of its path from here on.
    const known = new Set(line.history.versions.map((version) => version.id))
    const brought = [...tree.values()].filter((version) => !known.has(version.id))
    line.history = { ...line.history, versions: [...line.history.versions, ...brought] }
    const parents = line.tip === undefined ? [] : [line.tip]
    if (input.mergeParent !== undefined) parents.push(input.mergeParent)
    const commit = this.#addCommit(line, { id: this.state.newId('c'), parents, finished: true, message: input.message })
    line.tip = commit.id
    return commit
  }

  // Branches.

  #createBranch(name: string, from: string | undefined): Answer {
    const { state } = this
    if (state.tags.has(name)) throw new Refusal('TagExists')
    if (state.branches.has(name)) {
      if (from !== undefined) throw new Refusal('BranchExists')
      return 'existing'
    }
    const commit = from === undefined ? undefined : this.finished(from)
    state.branches.set(name, newLine(name, commit))
    return 'created'
  }

  #deleteBranch(name: string, force: boolean): Answer {
    const line = this.writable({ branch: name })
    if (!force && line.view.size > 0) throw new Refusal('BranchNotEmpty')
    if (this.state.branches.size === 1 && this.state.tags.size > 0) throw new Refusal('InUse')
    if (line.open !== undefined) this.state.commits.delete(line.open)
    this.state.branches.delete(name)
    if (this.state.branches.size === 0) this.state.forgetRepo()
    return null
  }

  // Transactions.

  #open(at: Line): Answer {
    const key = `${at.transaction}.${at.branch}`
    const there = this.state.transactions.get(key)
    if (there) return { kind: 'existing', commit: id(there.open!) }
    const onto = this.writable({ branch: at.branch })
    if (onto.open !== undefined && !this.state.commits.get(onto.open)!.pinned) this.seal(onto)
    const base = onto.tip === undefined ? undefined : this.state.commits.get(onto.tip)!
    const line: LineState = { ...newLine(`tx-${key}`, base), onto, ...(base ? { base: base.id } : {}) }
    this.state.transactions.set(key, line)
    const commit = this.openBatch(line, { pinned: true })
    return { kind: 'created', commit: id(commit.id) }
  }

  #finish(at: Line, message: string | undefined): Answer {
    const key = `${at.transaction}.${at.branch}`
    const line = this.state.transactions.get(key)
    if (!line) throw new Refusal('TransactionNotFound')
    const onto = line.onto!
    if (this.state.branches.get(onto.name) !== onto) throw new Refusal('BranchMoved')
    if (onto.protected) throw new Refusal('ReadOnly')
    const paths = this.#conflicts(line, onto)
    if (paths.length > 0) throw new Refusal('TransactionConflict', { paths })
    this.seal(onto)
    const begun = this.state.commits.get(line.open!)!
    // It becomes the newest of its branch, in the log too.
    this.state.commits.delete(begun.id)
    for (const { path } of line.writes) {
      const mine = line.view.get(path)
      if (mine) onto.view.set(path, mine)
      else onto.view.delete(path)
    }
    onto.writes.push(...line.writes)
    const own = line.history.versions.slice(this.historyOf(line.base).versions.length)
    onto.history = { ...onto.history, versions: [...onto.history.versions, ...own] }
    this.#addCommit(onto, {
      id: begun.id,
      parents: onto.tip === undefined ? [] : [onto.tip],
      finished: true,
      message: message ?? begun.message,
    })
    this.change(begun.id, { authors: begun.authors, history: this.#historyNow(onto) })
    onto.tip = begun.id
    this.state.transactions.delete(key)
    return id(begun.id)
  }

  /** Changed on both sides to what is not alike; or alike, but one of them was written on a condition. */
  #conflicts(line: LineState, onto: LineState): string[] {
    const base = line.base === undefined ? undefined : this.state.commits.get(line.base)
    const isSameLine = base?.line === onto && base.moves === onto.moves
    const since = onto.writes.slice(isSameLine ? base.writes : 0)
    const found = new Set<string>()
    for (const { path } of line.writes) {
      const theirs = onto.view.get(path)
      if (theirs?.id === base?.tree.get(path)?.id) continue
      const onCondition = [...line.writes, ...since].some((write) => write.path === path && write.conditional)
      if (onCondition || !sameBody(line.view.get(path), theirs)) found.add(path)
    }
    return [...found].sort()
  }

  /** A commit without a change shows the versions that the one before it shows, whatever was deleted by its id in between. */
  #historyNow(line: LineState): Commit['history'] {
    const tip = line.tip === undefined ? undefined : this.state.commits.get(line.tip)
    const before = tip?.line === line && tip.moves === line.moves ? tip.writes : 0
    return line.writes.length > before ? line.history : this.historyOf(line.tip)
  }

  historyOf(commit: string | undefined): Commit['history'] {
    return commit === undefined ? emptyHistory : this.state.commits.get(commit)!.history
  }

  #abort(at: Line): Answer {
    const key = `${at.transaction}.${at.branch}`
    const line = this.state.transactions.get(key)
    if (!line) throw new Refusal('TransactionNotFound')
    this.state.commits.delete(line.open!)
    this.state.transactions.delete(key)
    return null
  }
}

const emptyHistory: Commit['history'] = { versions: [], hidden: new Set() }

function newLine(name: string, from: Commit | undefined): LineState {
  return {
    name,
    view: new Map(from?.tree),
    history: from?.history ?? emptyHistory,
    ...(from ? { tip: from.id } : {}),
    ordinals: 0,
    writes: [],
    moves: 0,
    hidden: new Set(),
    protected: false,
  }
}

function check(line: LineState, path: string, when: When | undefined): void {
  const body = line.view.get(path)?.body
  if (when?.ifNoneMatch !== undefined && body && (when.ifNoneMatch === '*' || when.ifNoneMatch === etagOf(body))) {
    throw new Refusal('ConditionFailed')
  }
  if (when?.ifMatch === undefined) return
  if (!body || (when.ifMatch !== '*' && when.ifMatch !== etagOf(body))) throw new Refusal('ConditionFailed')
}

function refusable(work: () => Answer): Answer {
  try {
    return work()
  } catch (error) {
    if (error instanceof Refusal) return error.answer
    throw error
  }
}
