import { DomainError } from '../../../kernel/index.ts'
import {
  type BranchAddress,
  type Commit,
  type CommitId,
  type FileEntry,
  GcRunning,
  parseBranchName,
  parsePath,
  parseTransactionName,
  type RepoName,
  type Target,
  TransactionConflict,
  transactionBranch,
  type VersionId,
  type Versioning,
} from '../../index.ts'
import { putText } from '../store.ts'
import type { Names } from './compare.ts'
import { type Answer, id, type Line, type Machine, type Operation, type Place, type Question } from './machine.ts'
import { etagOf, textOf } from './state.ts'

/** The store that the engine runs on. */
export interface Underneath {
  readonly versioning: Versioning
  /** As a restart does. */
  reopen(): Promise<void>
  /** As after a kill: what was not durable at this moment is gone. */
  crash(): Promise<void>
}

/** How operations beyond this file are asked of the engine. */
export type EngineExtension = (engine: Engine, operation: Operation) => Promise<Answer> | undefined
export type EngineSight = (engine: Engine, question: Question) => Promise<Answer> | undefined

/** The real engine, in the words of the reference. */
export class Engine implements Machine {
  readonly store: Underneath
  readonly repo: RepoName
  readonly names: Names
  readonly #extensions: readonly EngineExtension[]
  readonly #sights: readonly EngineSight[]
  #background: Promise<void> | undefined

  constructor(
    store: Underneath,
    repo: RepoName,
    names: Names,
    beyond: { extensions?: readonly EngineExtension[]; sights?: readonly EngineSight[] } = {},
  ) {
    this.store = store
    this.repo = repo
    this.names = names
    this.#extensions = beyond.extensions ?? []
    this.#sights = beyond.sights ?? []
  }

  /** Goes on beside what follows, until somebody waits for it. */
  goOn(work: Promise<void>): void {
    work.catch(() => {
      // Told to whoever waits for it.
    })
    this.#background = work
  }

  /** Waits for what goes on. Throws what that came to. */
  async rest(): Promise<void> {
    const work = this.#background
    this.#background = undefined
    await work
  }

  get versioning(): Versioning {
    return this.store.versioning
  }

  do(operation: Operation): Promise<Answer> {
    return refusable(() => this.#do(operation))
  }

  see(question: Question): Promise<Answer> {
    return refusable(() => this.#see(question))
  }

  async #do(operation: Operation): Promise<Answer> {
    const { versioning } = this
    switch (operation.do) {
      case 'put': {
        const { path, body, when, author } = operation
        const more = { ...(when ? { conditions: when } : {}), ...(author ? { author } : {}) }
        return written(await putText(versioning, this.line(operation.at), path, textOf(body), more))
      }
      case 'upload':
        return this.#upload(operation)
      case 'delete': {
        const { path, when } = operation
        const input = when ? { conditions: when } : {}
        const result = await versioning.delete(this.line(operation.at), parsePath(path), input)
        return { ...written(result), existed: result.existed }
      }
      case 'deleteMany': {
        const deletes = operation.paths.map((path) => ({ path: parsePath(path) }))
        const results = await versioning.deleteMany(this.line(operation.at), deletes)
        return results.map((outcome) => {
          if (outcome.kind === 'refused') throw outcome.error
          return { ...written(outcome.result), existed: outcome.result.existed }
        })
      }
      case 'deleteVersions': {
        const path = parsePath(operation.path)
        const deletes = operation.versions.map((name) => ({ path, version: versionOf(this.names.of(name)) }))
        const results = await versioning.versions.delete(this.line(operation.at), deletes)
        return results.map((result) =>
          result.kind === 'hidden' ? { marker: result.marker, wasLatest: result.wasLatest } : result.kind,
        )
      }
      case 'copy': {
        const source = await versioning.stat(await this.place(operation.from), parsePath(operation.source))
        const { attributes } = source
        return written(
          await versioning.copy(this.line(operation.at), parsePath(operation.path), { source, attributes }),
        )
      }
      case 'rename': {
        const at = this.line(operation.at)
        const source = await versioning.stat({ kind: 'branch', ...at }, parsePath(operation.source))
        return written(await versioning.rename(at, { source, path: parsePath(operation.path) }))
      }
      case 'seal': {
        const newest = await versioning.seal(this.line(operation.at), { force: operation.force })
        return newest ? id(newest.commit) : null
      }
      case 'startCommit':
        return id((await versioning.startCommit(this.line(operation.at), { message: operation.message })).id)
      case 'finishCommit':
        return id((await versioning.finishCommit(this.line(operation.at), { message: operation.message })).id)
      case 'createBranch': {
        const from = operation.from === undefined ? {} : { from: this.commit(operation.from) }
        return (await versioning.createBranch(this.line({ branch: operation.branch }), from)).kind
      }
      case 'deleteBranch':
        await versioning.deleteBranch(this.line({ branch: operation.branch }), { force: operation.force })
        return null
      case 'restore': {
        const message = `restore ${operation.to}`
        return id((await versioning.restore(this.line(operation.at), this.commit(operation.to), { message })).id)
      }
      case 'open': {
        const { kind, transaction } = await versioning.transactions.open(this.line(operation.at))
        return { kind, commit: id(transaction.commit) }
      }
      case 'finish': {
        const input = operation.message === undefined ? {} : { message: operation.message }
        return id((await versioning.transactions.finish(this.line(operation.at), input)).commit)
      }
      case 'abort':
        await versioning.transactions.abort(this.line(operation.at))
        return null
      case 'crash':
      case 'reopen':
        await (operation.do === 'crash' ? this.store.crash() : this.store.reopen())
        await this.rest().catch((error: unknown) => {
          // What was going on beside it ended with it.
          if (!(error instanceof GcRunning)) throw error
        })
        return null
      default: {
        for (const extension of this.#extensions) {
          const answer = extension(this, operation)
          if (answer !== undefined) return answer
        }
        throw new Error(`the engine is not asked for ${operation.do} here`)
      }
    }
  }

  async #upload({ at, path, body }: Extract<Operation, { do: 'upload' }>): Promise<Answer> {
    const { uploads, content } = this.versioning
    const line = this.line(at)
    const key = parsePath(path)
    const upload = await uploads.create(line, { path: key, attributes: { metadata: {} } })
    const md5 = etagOf({ text: body.text, size: body.size })
    const staged = await content.putBytes(Buffer.from(textOf(body)))
    await uploads.putPart(line, key, upload.id, { number: 1, staged, md5 })
    const done = await uploads.complete(line, key, upload.id, { parts: [{ number: 1, etag: md5 }] })
    return written(done)
  }

  async #see(question: Question): Promise<Answer> {
    const { versioning } = this
    switch (question.see) {
      case 'list':
        return this.#list(question)
      case 'file': {
        const target = await this.place(question.at)
        return this.file(await versioning.stat(target, parsePath(question.path)))
      }
      case 'versions':
        return this.#versions(question)
      case 'branches': {
        const branches = await versioning.listBranches(this.repo)
        return branches.map((branch) => ({
          name: branch.name,
          head: branch.head ? id(branch.head) : null,
          open: branch.openCommit ? id(branch.openCommit) : null,
          protected: branch.protected,
        }))
      }
      case 'log': {
        const commits = await versioning.listCommits(this.repo, { branch: parseBranchName(question.branch) })
        return commits.map(commitAnswer)
      }
      case 'commit':
        return commitAnswer(await versioning.getCommit(this.repo, this.commit(question.commit)))
      case 'ancestor': {
        const ups = question.steps === 1 ? '^' : `^${question.steps}`
        return id(await versioning.resolveRevision(this.repo, `${this.commit(question.of)}${ups}`))
      }
      case 'diff':
        return this.#diff(question)
      case 'transactions': {
        const open = await versioning.transactions.list(this.line({ branch: question.branch }))
        return open.map(({ commit, base }) => ({ commit: id(commit), base: base ? id(base) : null }))
      }
      default: {
        for (const sight of this.#sights) {
          const answer = sight(this, question)
          if (answer !== undefined) return answer
        }
        throw new Error(`the engine is not asked about ${question.see} here`)
      }
    }
  }

  async #list({ at, prefix, delimiter, page }: Extract<Question, { see: 'list' }>): Promise<Answer> {
    const target = await this.place(at)
    const shown = { ...(prefix === undefined ? {} : { prefix }), ...(delimiter === undefined ? {} : { delimiter }) }
    const entries: Answer[] = []
    const prefixes: string[] = []
    let after: string | undefined
    do {
      const found = await this.versioning.list(target, {
        ...shown,
        limit: page,
        ...(after === undefined ? {} : { after }),
      })
      if (found.entries.length + found.prefixes.length > page) return { refused: `a page of more than ${page}` }
      entries.push(...found.entries.map((entry) => ({ path: entry.path, version: versionId(entry.version) })))
      prefixes.push(...found.prefixes)
      after = found.next
    } while (after !== undefined && entries.length < 1_000)
    return { entries, prefixes }
  }

  async #versions({ at, prefix, page }: Extract<Question, { see: 'versions' }>): Promise<Answer> {
    const target = await this.place(at)
    const all: Answer[] = []
    let after: Awaited<ReturnType<Versioning['versions']['list']>>['next']
    do {
      const found = await this.versioning.versions.list(target, {
        limit: page,
        ...(prefix === undefined ? {} : { prefix }),
        ...(after === undefined ? {} : { after }),
      })
      for (const { path, version, isLatest, entry } of found.versions) {
        if (version === 'null') return { refused: 'a null version' }
        const file = entry ? await this.file(entry) : { at: null, body: null, etag: null }
        all.push({ ...file, path, version: versionId(version), isLatest })
      }
      after = found.next
    } while (after !== undefined && all.length < 1_000)
    return all
  }

  async #diff({ before, after, prefix }: Extract<Question, { see: 'diff' }>): Promise<Answer> {
    const from = before === 'empty' ? before : this.commit(before)
    const found: Answer[] = []
    for await (const { path, kind } of this.versioning.diff(
      from,
      this.commit(after),
      prefix === undefined ? {} : { prefix },
    )) {
      found.push({ path, kind })
    }
    return found
  }

  /** With its bytes: whatever is listed can be read. */
  async file(entry: FileEntry): Promise<{ readonly [key: string]: Answer }> {
    const pieces: Buffer[] = []
    for await (const piece of this.versioning.content.read(entry.content)) pieces.push(Buffer.from(piece))
    const text = Buffer.concat(pieces).toString()
    return {
      path: entry.path,
      version: versionId(entry.version),
      at: entry.modifiedMs,
      etag: entry.etag,
      body: `${text.replace(/\.*$/, '')}:${text.length}`,
    }
  }

  commit(name: string): CommitId {
    return this.names.of(name) as CommitId
  }

  line(at: Line): BranchAddress {
    const branch = parseBranchName(at.branch)
    if (at.transaction === undefined) return { repo: this.repo, branch }
    return { repo: this.repo, branch: transactionBranch(parseTransactionName(at.transaction), branch) }
  }

  async place(at: Place): Promise<Target> {
    if ('commit' in at) return { kind: 'commit', repo: this.repo, commit: this.commit(at.commit) }
    if ('tag' in at) return this.versioning.resolve(this.repo, at.tag)
    return { kind: 'branch', ...this.line(at) }
  }
}

function written(result: { version: VersionId; commit: CommitId }): { readonly [key: string]: Answer } {
  return { version: versionId(result.version), commit: id(result.commit) }
}

function commitAnswer(commit: Commit): Answer {
  const finished = commit.state === 'finished'
  return {
    commit: id(commit.id),
    branch: commit.branch,
    finished,
    pinned: commit.pinned,
    parents: commit.parents.map(id),
    message: commit.message,
    authors: commit.authors,
    ordinal: commit.ordinal,
    ...(finished ? { files: commit.files, bytes: commit.sizeBytes } : {}),
  }
}

function versionId({ commit, seq }: VersionId): Answer {
  return id(`${commit}-${seq}`)
}

function versionOf(text: string): VersionId {
  const [commit, seq] = text.split('-')
  return { commit: commit as CommitId, seq: Number(seq) }
}

async function refusable(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    if (error instanceof TransactionConflict) {
      return { refused: error.code, paths: [...(error.data['paths'] as string[])].sort() }
    }
    return { refused: String(error.code) }
  }
}
