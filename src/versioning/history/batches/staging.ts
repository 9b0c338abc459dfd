import { setImmediate as endOfTurn } from 'node:timers/promises'
import { Corrupt, DomainError, InvalidInput, KIB, StorageFull, type Transaction } from '../../../kernel/index.ts'
import type { ChangeResult, WriteConditions } from '../../changes.ts'
import type { ChunkPlace } from '../../content-store.ts'
import {
  type BranchAddress,
  type BranchId,
  BranchMoved,
  type CommitId,
  type Entry,
  NO_VERSION,
  type Path,
  succeededFolder,
  type VersionId,
} from '../../model/index.ts'
import { encodeEntry } from '../../tree/index.ts'
import { controlReason, missing, readOnlyReason } from '../branches.ts'
import { type Current, currentOf, readCurrent, refusal, warmCurrent } from '../conditions.ts'
import type { HistoryContext } from '../context.ts'
import { ScratchGroup } from '../scratch.ts'
import { openBatch } from './seal.ts'

/** Changes in one transaction at most: longer groups only make everybody wait for the slowest. */
const MAX_GROUP = 1024
/** From here on the leaves around the paths of one request are read ahead. */
const WORTH_WARMING = 16
/** What an entry's bytes may come to; a tree's node could not hold one of 64 KiB. Metadata is bounded far below, headers are not. */
const MAX_ENTRY_BYTES = 16 * KIB
/** Commits whose authors are remembered as written; a hint that saves a statement, nothing more. */
const MAX_REMEMBERED_AUTHORS = 1024

const noAreas: ReadonlySet<string> = new Set()

/** One PUT or DELETE on its way into a branch. */
export interface ChangeRequest {
  readonly path: Path
  /** Null deletes. */
  readonly entry: Entry | null
  readonly chunks: readonly ChunkPlace[]
  /** What it needs of the store besides (StagedContent); of a copy: its content. */
  readonly relies?: readonly Buffer[]
  readonly copied?: boolean
  readonly conditions?: WriteConditions | undefined
  /** Only if this is what the path holds now; BranchMoved otherwise. */
  readonly onVersion?: VersionId
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

/** What came of one change of a group; a refusal concerns this one alone. */
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
  readonly together: boolean
  readonly resolve: (outcomes: readonly ChangeOutcome[]) => void
  readonly reject: (error: unknown) => void
}

/** What the batch rules want to know of a group that was written. */
export interface GroupWritten {
  readonly at: BranchAddress
  readonly branch: BranchId
  readonly commit: CommitId
  /** Zero if only scratch files were written: then there need be no batch. */
  readonly changes: number
  readonly unfolded: number
  /** A transaction is sealed by nobody but who finishes it. */
  readonly transaction: boolean
  /** Scratch folders that were written to. */
  readonly scratch: ReadonlySet<string>
  /** Scratch folders in which nothing is left. */
  readonly emptied: readonly string[]
  /** Folders whose jobs say that they ended well. */
  readonly succeeded: readonly string[]
}

/** What a write has to know of its branch. */
export interface BranchState {
  readonly id: number
  readonly root: string
  readonly folded_seq: number
  readonly last_seq: number
  readonly open_commit: string | null
  readonly pipeline: string | null
  readonly protected: number
  readonly kind: 'branch' | 'transaction'
  readonly versioned_from: number | null
}

/** What a group does to one branch, before it is written. */
interface Group {
  readonly branch: BranchState
  /** What the paths hold, as far as it is asked about; each change is decided by what the ones before it leave. */
  readonly current: Map<string, Current | null>
  readonly scratch: ScratchGroup | undefined
  readonly commit: CommitId
  readonly nowMs: number
  readonly rows: [seq: number, path: string, atMs: number, entry: string | null, conditional: 0 | 1][]
  readonly succeeded: string[]
  readonly chunks: ChunkPlace[]
  readonly authors: Set<string>
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

  /**
   * All in one transaction; each is refused or done by itself, or with `together` all of them or none (of which only the first may
   * have a `within`). Rejects if the branch can't be written or the store is full.
   */
  async submit(
    at: BranchAddress,
    requests: readonly ChangeRequest[],
    { together = false } = {},
  ): Promise<readonly ChangeOutcome[]> {
    const asked = requests.filter(asksForCurrent)
    if (asked.length >= WORTH_WARMING) await warmCurrent(this.#context, at, asked)
    return new Promise((resolve, reject) => {
      this.#queue.push({ at, requests: requests.map(encoded), together, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** The same as part of the caller's transaction. Throws where `submit` rejects. */
  async submitWithin(
    tx: Transaction,
    at: BranchAddress,
    requests: readonly ChangeRequest[],
  ): Promise<readonly ChangeOutcome[]> {
    const settle: (() => void)[] = []
    const written: GroupWritten[] = []
    let answer: (() => readonly ChangeOutcome[]) | undefined
    const unit: Unit = {
      at,
      requests: requests.map(encoded),
      together: false,
      resolve: (outcomes) => {
        answer = () => outcomes
      },
      reject: (error) => {
        answer = () => {
          throw error
        }
      },
    }
    await this.#writeBranch(tx, [unit], settle, written)
    for (const done of settle) done()
    tx.afterCommit(() => {
      for (const group of written) this.#onWritten(group)
    })
    return answer!()
  }

  /** Resolves when nothing is queued. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    try {
      // Requests whose bytes became durable in one flush come one after the other: the rest of this turn joins the first group.
      await endOfTurn()
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
      'SELECT id, root, folded_seq, last_seq, open_commit, pipeline, protected, kind, versioned_from FROM branches WHERE repo = ? AND name = ?',
      [at.repo, at.branch],
    )
    const refused = branch ? readOnlyReason(at, branch) : await missing(tx, at)
    if (!branch || refused) {
      for (const unit of units) settle.push(() => unit.reject(refused))
      return
    }
    const requests = units.flatMap((unit) => unit.requests)
    const current = await this.#currentEntries(tx, branch, requests)
    const scratch = await ScratchGroup.open(tx, branch.id, requests, current)
    const group: Group = {
      branch,
      current,
      scratch,
      commit: (branch.open_commit ?? this.#context.newCommitId()) as CommitId,
      nowMs: this.#context.clock.now(),
      rows: [],
      succeeded: [],
      chunks: [],
      authors: new Set(),
    }
    for (const unit of units) {
      const outcomes = await this.#gather(tx, group, unit)
      settle.push(() => unit.resolve(outcomes))
    }
    const done = await this.#store(tx, group)
    if (done) written.push({ at, ...done })
  }

  /** Decides the changes of one unit, in order, each by what the ones before it leave. */
  async #gather(tx: Transaction, group: Group, unit: Unit): Promise<readonly ChangeOutcome[]> {
    const { branch, current, scratch, nowMs, rows } = group
    const outcomes: ChangeOutcome[] = []
    let failure = unit.together ? firstRefusal(unit.requests, current) : undefined
    for (const request of unit.requests) {
      const before = current.get(request.path)
      const isScratch = scratch?.takes(request) ?? false
      const seq = branch.last_seq + rows.length + 1
      const version = isScratch ? NO_VERSION : { commit: group.commit, seq }
      const error = failure ?? (await this.#check(tx, branch.id as BranchId, request, before, version))
      if (error) {
        if (unit.together) failure = error
        outcomes.push({ kind: 'refused', error })
        continue
      }
      const modifiedMs = request.entry?.modifiedMs ?? nowMs
      scratch?.add(request.path, nowMs, request.encoded)
      if (!isScratch) {
        rows.push([seq, request.path, modifiedMs, request.encoded, request.conditions ? 1 : 0])
        if (request.author) group.authors.add(request.author)
        const folder = request.entry ? succeededFolder(request.path) : undefined
        if (folder !== undefined) group.succeeded.push(folder)
      }
      for (const chunk of request.chunks) group.chunks.push(chunk)
      current.set(request.path, request.entry ? currentOf(request.entry, version) : null)
      const existed = before !== null && before !== undefined
      const unversioned = branch.versioned_from === null ? { unversioned: true as const } : undefined
      outcomes.push({ kind: 'done', staged: { version, commit: version.commit, modifiedMs, existed, ...unversioned } })
    }
    return outcomes
  }

  /** Writes what was gathered; undefined if that is nothing. */
  async #store(tx: Transaction, group: Group): Promise<Omit<GroupWritten, 'at'> | undefined> {
    const { branch, commit, scratch, nowMs, rows, chunks, authors } = group
    if (chunks.length > 0) await this.#context.content.publish(tx, chunks)
    const emptied = (await scratch?.write(tx)) ?? []
    const areas = scratch?.areas ?? noAreas
    if (rows.length === 0 && areas.size === 0 && emptied.length === 0) return undefined
    const seq = branch.last_seq + rows.length
    const done = {
      branch: branch.id as BranchId,
      commit,
      changes: rows.length,
      unfolded: seq - branch.folded_seq,
      transaction: branch.kind === 'transaction',
      scratch: areas,
      emptied,
      succeeded: group.succeeded,
    }
    if (rows.length === 0) return done
    if (!branch.open_commit) await openBatch(tx, branch.id, commit, { nowMs })
    await tx.run('UPDATE branches SET last_seq = ? WHERE id = ?', [seq, branch.id])
    await tx.run(
      `INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, conditional)
       SELECT ?, value ->> 0, ?, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4 FROM json_each(?)`,
      [branch.id, commit, JSON.stringify(rows)],
    )
    await this.#noteAuthors(tx, commit, authors)
    return done
  }

  async #check(
    tx: Transaction,
    branch: BranchId,
    request: ChangeRequest,
    before: Current | null | undefined,
    version: VersionId,
  ): Promise<Error | undefined> {
    const refused = refusalOf(request, before ?? null)
    if (refused) return refused
    try {
      if (request.entry) await this.#admit(tx, request, request.entry)
      await request.within?.(tx, branch, version)
      return undefined
    } catch (error) {
      // The domain's refusals concern this change alone; anything else (a full disk) fails the group.
      if (error instanceof DomainError && !(error instanceof StorageFull || error instanceof Corrupt)) return error
      throw error
    }
  }

  /** Content may have been collected since it was staged, or looked at. */
  #admit(tx: Transaction, { chunks, relies = [], copied = false }: ChangeRequest, entry: Entry): Promise<void> {
    return this.#context.content.admit(tx, { chunks, relies, copied, content: entry.content })
  }

  /** What the paths hold now, for those that are asked about: conditional changes and deletes. */
  async #currentEntries(
    tx: Transaction,
    branch: BranchState,
    requests: readonly ChangeRequest[],
  ): Promise<Map<string, Current | null>> {
    const wanted = new Set(requests.filter(asksForCurrent).map(({ path }) => path))
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

/** Whether what its path holds now is asked about. */
const asksForCurrent = ({ entry, conditions, onVersion }: ChangeRequest): boolean =>
  entry === null || conditions !== undefined || onVersion !== undefined

/** Why a change can't be made, by what its path holds now. */
function refusalOf(request: ChangeRequest, current: Current | null): Error | undefined {
  const { path, conditions, onVersion } = request
  const refused = controlReason(path) ?? (conditions && refusal(conditions, current))
  if (refused || !onVersion) return refused
  const { commit, seq } = current?.version ?? {}
  if (commit === onVersion.commit && seq === onVersion.seq) return undefined
  return new BranchMoved(`${path} was replaced meanwhile; look at it again`, { path })
}

/** Changes that are made together have different paths: none of them changes what another is decided by. */
function firstRefusal(
  requests: readonly ChangeRequest[],
  current: ReadonlyMap<string, Current | null>,
): Error | undefined {
  for (const request of requests) {
    const refused = refusalOf(request, current.get(request.path) ?? null)
    if (refused) return refused
  }
  return undefined
}

function encoded(request: ChangeRequest): EncodedRequest {
  if (!request.entry) return { ...request, encoded: null }
  const bytes = encodeEntry(request.entry)
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new InvalidInput(`headers and metadata come to more than ${MAX_ENTRY_BYTES} bytes; shorten them`)
  }
  return { ...request, encoded: bytes.toString('hex') }
}
