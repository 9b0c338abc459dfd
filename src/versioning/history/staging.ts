import { Corrupt, DomainError, InvalidInput, KIB, StorageFull, type Transaction } from '../../kernel/index.ts'
import { type BranchId, BranchNotFound, type CommitId, type Entry, type Path, type VersionId } from '../model/index.ts'
import { encodeEntry } from '../tree/index.ts'
import type { BranchAddress, ChangeResult, ChunkPlace, WriteConditions } from '../versioning.ts'
import { controlReason, readOnlyReason } from './branches.ts'
import { type Current, currentOf, readCurrent, refusal } from './conditions.ts'
import type { HistoryContext } from './context.ts'
import { openBatch } from './seal.ts'

/** Changes in one transaction at most: longer groups only make everybody wait for the slowest. */
const MAX_GROUP = 1024
/** What an entry's bytes may come to; a tree's node could not hold one of 64 KiB. Metadata is bounded far below, headers are not. */
const MAX_ENTRY_BYTES = 16 * KIB
/** Commits whose authors are remembered as written; a hint that saves a statement, nothing more. */
const MAX_REMEMBERED_AUTHORS = 1024

/** One PUT or DELETE on its way into a branch. */
export interface ChangeRequest {
  readonly path: Path
  /** Null deletes. */
  readonly entry: Entry | null
  readonly chunks: readonly ChunkPlace[]
  readonly conditions?: WriteConditions | undefined
  readonly author?: string | undefined
  /**
   * Runs in the same transaction, before the change is written under this version; a throw refuses this change alone, so it must check before it
   * writes.
   */
  readonly within?: (tx: Transaction, branch: BranchId, version: VersionId) => Promise<void>
}

export interface Staged extends ChangeResult {
  readonly existed: boolean
}

export type ChangeOutcome =
  | { readonly kind: 'done'; readonly staged: Staged }
  | { readonly kind: 'refused'; readonly error: Error }

/** With the entry as it is stored: what can't be encoded is refused before it is part of anybody's transaction. */
interface EncodedRequest extends ChangeRequest {
  readonly encoded: string | null
}

interface Unit {
  readonly at: BranchAddress
  readonly requests: readonly EncodedRequest[]
  readonly resolve: (outcomes: readonly ChangeOutcome[]) => void
  readonly reject: (error: unknown) => void
}

/** What the batch rules want to know of a group that was written. */
export interface GroupWritten {
  readonly at: BranchAddress
  readonly branch: BranchId
  readonly commit: CommitId
  readonly changes: number
  readonly unfolded: number
}

interface BranchState {
  readonly id: number
  readonly root: string
  readonly folded_seq: number
  readonly last_seq: number
  readonly open_commit: string | null
  readonly pipeline: string | null
}

/**
 * The only way into a branch's staging area: whatever queued up while the last transaction ran goes with the next. Bytes are durable
 * before a change is queued; the transaction publishes their chunks, numbers the changes and decides their conditions.
 */
export class Staging {
  readonly #context: HistoryContext
  readonly #onWritten: (group: GroupWritten) => void
  readonly #queue: Unit[] = []
  readonly #authors = new Map<string, Set<string>>()
  #running: Promise<void> | undefined

  constructor(context: HistoryContext, onWritten: (group: GroupWritten) => void) {
    this.#context = context
    this.#onWritten = onWritten
  }

  /** All in one transaction; each is refused or done by itself. Rejects if the branch can't be written or the store is full. */
  submit(at: BranchAddress, requests: readonly ChangeRequest[]): Promise<readonly ChangeOutcome[]> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ at, requests: requests.map(encoded), resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is queued. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0) await this.#writeGroup(this.#takeGroup())
    } finally {
      this.#running = undefined
    }
  }

  #takeGroup(): Unit[] {
    const group: Unit[] = []
    let size = 0
    while (this.#queue.length > 0 && (group.length === 0 || size + this.#queue[0]!.requests.length <= MAX_GROUP)) {
      const unit = this.#queue.shift()!
      size += unit.requests.length
      group.push(unit)
    }
    return group
  }

  async #writeGroup(group: readonly Unit[]): Promise<void> {
    const byBranch = Map.groupBy(group, ({ at }) => `${at.repo}@${at.branch}`)
    const settle: (() => void)[] = []
    const written: GroupWritten[] = []
    try {
      await this.#context.db.write(async (tx) => {
        for (const units of byBranch.values()) await this.#writeBranch(tx, units, settle, written)
      })
    } catch (error) {
      for (const unit of group) unit.reject(error)
      return
    }
    for (const group of written) this.#onWritten(group)
    for (const done of settle) done()
  }

  async #writeBranch(
    tx: Transaction,
    units: readonly Unit[],
    settle: (() => void)[],
    written: GroupWritten[],
  ): Promise<void> {
    const at = units[0]!.at
    const branch = await tx.get<BranchState>(
      'SELECT id, root, folded_seq, last_seq, open_commit, pipeline FROM branches WHERE repo = ? AND name = ?',
      [at.repo, at.branch],
    )
    const refused = branch ? readOnlyReason(at, branch) : new BranchNotFound(at.repo, at.branch)
    if (!branch || refused) {
      for (const unit of units) settle.push(() => unit.reject(refused))
      return
    }
    const requests = units.flatMap((unit) => unit.requests)
    const current = await this.#currentEntries(tx, branch, requests)
    const commit = (branch.open_commit ?? this.#context.newCommitId()) as CommitId
    let seq = branch.last_seq
    const rows: [number, string, number, string | null][] = []
    const nowMs = this.#context.clock.now()
    const chunks: ChunkPlace[] = []
    const authors = new Set<string>()
    for (const unit of units) {
      const outcomes: ChangeOutcome[] = []
      for (const request of unit.requests) {
        const before = current.get(request.path)
        const version = { commit, seq: seq + 1 }
        const error = await this.#check(tx, branch.id as BranchId, request, before, version)
        if (error) {
          outcomes.push({ kind: 'refused', error })
          continue
        }
        seq++
        const modifiedMs = request.entry?.modifiedMs ?? nowMs
        rows.push([seq, request.path, modifiedMs, request.encoded])
        for (const chunk of request.chunks) chunks.push(chunk)
        if (request.author) authors.add(request.author)
        current.set(request.path, request.entry ? currentOf(request.entry) : null)
        const existed = before !== null && before !== undefined
        outcomes.push({ kind: 'done', staged: { version, commit, modifiedMs, existed } })
      }
      settle.push(() => unit.resolve(outcomes))
    }
    if (rows.length === 0) return
    if (chunks.length > 0) await this.#context.content.publish(tx, chunks)
    if (!branch.open_commit) await openBatch(tx, branch.id, commit, { nowMs })
    await tx.run('UPDATE branches SET last_seq = ? WHERE id = ?', [seq, branch.id])
    await tx.run(
      `INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry)
       SELECT ?, value ->> 0, ?, value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each(?)`,
      [branch.id, commit, JSON.stringify(rows)],
    )
    await this.#noteAuthors(tx, commit, authors)
    written.push({
      at,
      branch: branch.id as BranchId,
      commit,
      changes: rows.length,
      unfolded: seq - branch.folded_seq,
    })
  }

  async #check(
    tx: Transaction,
    branch: BranchId,
    request: ChangeRequest,
    before: Current | null | undefined,
    version: VersionId,
  ): Promise<Error | undefined> {
    const refused = controlReason(request.path) ?? (request.conditions && refusal(request.conditions, before ?? null))
    if (refused || !request.within) return refused
    try {
      await request.within(tx, branch, version)
      return undefined
    } catch (error) {
      // The domain's refusals concern this change alone; anything else (a full disk) fails the group.
      if (error instanceof DomainError && !(error instanceof StorageFull || error instanceof Corrupt)) return error
      throw error
    }
  }

  /** What the paths hold now, for those that are asked about: conditional changes and deletes. */
  async #currentEntries(
    tx: Transaction,
    branch: BranchState,
    requests: readonly ChangeRequest[],
  ): Promise<Map<string, Current | null>> {
    const wanted = new Set<string>()
    for (const { path, entry, conditions } of requests) if (conditions || entry === null) wanted.add(path)
    if (wanted.size === 0) return new Map()
    return readCurrent(tx, this.#context, branch, [...wanted])
  }

  async #noteAuthors(tx: Transaction, commit: CommitId, authors: ReadonlySet<string>): Promise<void> {
    const known = this.#authors.get(commit) ?? new Set()
    const fresh = [...authors].filter((author) => !known.has(author))
    if (fresh.length === 0) return
    for (const name of fresh) {
      await tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, name])
    }
    tx.afterCommit(() => {
      if (this.#authors.size >= MAX_REMEMBERED_AUTHORS) this.#authors.clear()
      this.#authors.set(commit, new Set([...known, ...fresh]))
    })
  }
}

function encoded(request: ChangeRequest): EncodedRequest {
  if (!request.entry) return { ...request, encoded: null }
  const bytes = encodeEntry(request.entry)
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new InvalidInput(`headers and metadata come to more than ${MAX_ENTRY_BYTES} bytes; shorten them`)
  }
  return { ...request, encoded: bytes.toString('hex') }
}
