import type { Transaction } from '../../../kernel/index.ts'
import type { WriteConditions } from '../../changes.ts'
import {
  type BranchAddress,
  type BranchId,
  type CommitId,
  ConditionFailed,
  type Path,
  type VersionId,
} from '../../model/index.ts'
import { decodeEntry, decodeLeaf, encodeEntry, lookup } from '../../tree/index.ts'
import type { VersionDelete, VersionDeleteResult, VersionName } from '../../versions.ts'
import { openBatch } from '../batches/seal.ts'
import type { BranchState, ChangeOutcome, ChangeRequest, GroupWritten, Staging } from '../batches/staging.ts'
import { controlReason, missing, readOnlyReason } from '../branches.ts'
import { type Current, currentOf, readCurrent, refusal } from '../conditions.ts'
import type { HistoryContext } from '../context.ts'
import { findVersion, newestVersion, type VersionSources } from './brought.ts'
import { isHidden, readChain, sameVersion, type VersionChain } from './chain.ts'
import type { NullVersions } from './null.ts'
import { noteHidden } from './runs.ts'

const noAreas: ReadonlySet<string> = new Set()

interface DeleteParts {
  readonly context: HistoryContext
  readonly staging: Staging
  readonly nulls: NullVersions
  readonly onWritten: (group: GroupWritten) => void
}

type WrittenBranch = Omit<BranchState, 'versioned_from'>

/** A version that may be deleted; `current` is what conditions look at, null of a delete marker. */
interface Found {
  readonly version: VersionId
  /** Its row, where that was looked at. */
  readonly stored?: Awaited<ReturnType<typeof findVersion>>
  readonly current: Current | null
}

/** What a path shows again. */
interface Back {
  readonly path: Path
  /** Null: a delete marker, or nothing at all. */
  readonly entry: Buffer | null
  readonly version: VersionId | undefined
}

/** What `FileVersions.delete` promises, in one transaction. */
export async function deleteVersions(
  parts: DeleteParts,
  at: BranchAddress,
  deletes: readonly VersionDelete[],
  author: string | undefined,
): Promise<readonly VersionDeleteResult[]> {
  for (const { path } of deletes) {
    const refused = controlReason(path)
    if (refused) throw refused
  }
  return parts.context.db.write(async (tx) => {
    const branch = await tx.get<WrittenBranch>(
      'SELECT id, root, folded_seq, last_seq, open_commit, pipeline, protected, kind FROM branches WHERE repo = ? AND name = ?',
      [at.repo, at.branch],
    )
    if (!branch) throw await missing(tx, at)
    const refused = readOnlyReason(at, branch)
    if (refused) throw refused
    const chain = await readChain(tx, { kind: 'branch', ...at })
    const run = new VersionDeletion(parts, tx, { at, branch, chain, author })
    return run.delete(deletes)
  })
}

class VersionDeletion {
  readonly #parts: DeleteParts
  readonly #tx: Transaction
  readonly #at: BranchAddress
  readonly #branch: WrittenBranch
  readonly #author: string | undefined
  readonly #currents = new Map<string, Current | null>()
  #chain: VersionChain

  constructor(
    parts: DeleteParts,
    tx: Transaction,
    of: { at: BranchAddress; branch: WrittenBranch; chain: VersionChain; author: string | undefined },
  ) {
    this.#parts = parts
    this.#tx = tx
    this.#at = of.at
    this.#branch = of.branch
    this.#chain = of.chain
    this.#author = of.author
  }

  async delete(deletes: readonly VersionDelete[]): Promise<readonly VersionDeleteResult[]> {
    const results = new Map<VersionDelete, VersionDeleteResult>()
    const named = deletes.filter(({ version }) => version !== undefined)
    const paths = [...new Set(named.map(({ path }) => path))]
    for (const [path, current] of await readCurrent(this.#tx, this.#parts.context, this.#branch, paths)) {
      this.#currents.set(path, current)
    }
    const plain = deletes.filter(({ version }) => version === undefined)
    const back: Back[] = []
    for (const [path, wishes] of Map.groupBy(named, (wish) => wish.path)) {
      // Without version ids there is only what is there: to delete it is to delete the file.
      if (!this.#chain.enabled) plain.push(...this.#plainly(path, wishes, results))
      else back.push(...(await this.#deleteOf(path, wishes, results)))
    }
    if (back.length > 0) await this.#bringBack(back)
    if (plain.length > 0) await this.#deletePlainly(plain, results)
    return deletes.map((wish) => results.get(wish)!)
  }

  #plainly(
    path: Path,
    wishes: readonly VersionDelete[],
    results: Map<VersionDelete, VersionDeleteResult>,
  ): readonly VersionDelete[] {
    const first = wishes.find(({ version }) => version === 'null' && this.#currents.get(path))
    for (const wish of wishes) if (wish !== first) results.set(wish, { kind: 'absent' })
    return first ? [first] : []
  }

  /** Hides what is asked for, all of one path; then what is to come back is looked for once. */
  async #deleteOf(
    path: Path,
    wishes: readonly VersionDelete[],
    results: Map<VersionDelete, VersionDeleteResult>,
  ): Promise<readonly Back[]> {
    const latest = await this.#latestOf(path)
    let latestIsGone = false
    for (const wish of wishes) {
      const found = await this.#find(path, wish.version!)
      if (!found) {
        results.set(wish, { kind: 'absent' })
        continue
      }
      const refused = wish.conditions && versionRefusal(wish.conditions, found.current)
      if (refused) {
        results.set(wish, { kind: 'refused', error: refused })
        continue
      }
      await this.#hide(path, found)
      const wasLatest = latest !== undefined && sameVersion(latest, found.version)
      latestIsGone ||= wasLatest
      results.set(wish, { kind: 'hidden', marker: found.current === null, wasLatest })
    }
    return latestIsGone ? [await this.#before(path)] : []
  }

  get #sources(): VersionSources {
    return { queries: this.#tx, nodes: this.#parts.context.nodes, nulls: this.#parts.nulls, chain: this.#chain }
  }

  async #latestOf(path: Path): Promise<VersionId | undefined> {
    const current = this.#currents.get(path)
    if (current) return current.version
    const newest = await newestVersion(this.#sources, path)
    return newest?.entry === null ? newest.version : undefined
  }

  async #find(path: Path, version: VersionName): Promise<Found | undefined> {
    const current = this.#currents.get(path)
    const currentIsNull = current ? await this.#isNull(current.version) : false
    if (version === 'null') {
      if (current && currentIsNull) return { version: current.version, current }
      return this.#chain.base?.named === 'null' ? this.#findBase(path) : undefined
    }
    // A restored tree may show a version that was deleted before: that one can be deleted again.
    if (current && !currentIsNull && sameVersion(current.version, version)) return { version, current }
    const stored = await findVersion(this.#sources, path, version)
    if (stored) {
      const { hidden, row } = stored
      return hidden ? undefined : { version, stored, current: row.entry && currentOf(decodeEntry(row.entry), version) }
    }
    const base = this.#chain.base?.named === 'id' ? await this.#findBase(path) : undefined
    return base && sameVersion(base.version, version) ? base : undefined
  }

  async #unlessHidden(path: Path, found: Found): Promise<Found | undefined> {
    return (await isHidden(this.#tx, this.#chain, path, found.version)) ? undefined : found
  }

  async #findBase(path: Path): Promise<Found | undefined> {
    const item = await lookup(this.#parts.context.nodes, this.#chain.base!.root, Buffer.from(path))
    if (!item) return undefined
    const entry = decodeLeaf(item.key, item.value)
    return this.#unlessHidden(path, { version: entry.version, current: currentOf(entry, entry.version) })
  }

  async #isNull(version: VersionId): Promise<boolean> {
    if (this.#chain.base?.named !== 'null') return false
    const { branchId, from } = this.#chain.segments[0]!
    return this.#parts.nulls.includes(branchId, from, version)
  }

  async #hide(path: Path, found: Found): Promise<void> {
    const { commit, seq } = found.version
    const added = await this.#tx.run(
      'INSERT OR IGNORE INTO hidden_versions (branch_id, commit_id, seq, path, at_seq) VALUES (?, ?, ?, ?, ?)',
      [this.#branch.id, commit, seq, path, await this.#hiddenAt()],
    )
    this.#chain = { ...this.#chain, someHidden: true }
    const stored = found.stored ?? (await findVersion(this.#sources, path, found.version))
    // What a tree brought has no place among the changes.
    if (added === 0 || !stored?.isChange) return
    const segmentId = this.#chain.segments[stored.segment]!.branchId
    await noteHidden(this.#tx, { branchId: this.#branch.id, segmentId, path, place: stored.row.place })
  }

  /**
   * Commits that are sealed already end below this number; the open batch, which is sealed later, does not, also if nothing more is written
   * into it.
   */
  async #hiddenAt(): Promise<number> {
    const { open_commit, last_seq } = this.#branch
    const open =
      open_commit === null
        ? undefined
        : await this.#tx.get<{ from_seq: number }>('SELECT from_seq FROM commits WHERE id = ?', [open_commit])
    return open && open.from_seq < last_seq ? last_seq : last_seq + 1
  }

  /** The newest version that is left. */
  async #before(path: Path): Promise<Back> {
    const row = await newestVersion(this.#sources, path)
    if (row) return { path, entry: row.entry, version: row.version }
    const base = this.#chain.base && (await lookup(this.#parts.context.nodes, this.#chain.base.root, Buffer.from(path)))
    if (!base) return { path, entry: null, version: undefined }
    const { path: _path, version, ...entry } = decodeLeaf(base.key, base.value)
    if (await isHidden(this.#tx, this.#chain, path, version)) return { path, entry: null, version: undefined }
    return { path, entry: encodeEntry(entry), version }
  }

  /** By changes of their own, which are no versions: they show earlier ones, under their ids. */
  async #bringBack(back: readonly Back[]): Promise<void> {
    const { context, onWritten } = this.#parts
    const { id, open_commit, last_seq, folded_seq } = this.#branch
    const nowMs = context.clock.now()
    const commit = (open_commit ?? context.newCommitId()) as CommitId
    if (!open_commit) await openBatch(this.#tx, id, commit, { nowMs })
    const seq = last_seq + back.length
    await this.#tx.run('UPDATE branches SET last_seq = ? WHERE id = ?', [seq, id])
    const rows = back.map(({ path, entry, version }, index) => [
      last_seq + 1 + index,
      path,
      entry?.toString('hex') ?? null,
      version?.commit ?? '',
      version?.seq ?? 0,
    ])
    await this.#tx.run(
      `INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, of_commit, of_seq, listed)
       SELECT ?, value ->> 0, ?, value ->> 1, ?, unhex(value ->> 2), value ->> 3, value ->> 4, 0 FROM json_each(?)`,
      [id, commit, nowMs, JSON.stringify(rows)],
    )
    if (this.#author) {
      await this.#tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, this.#author])
    }
    const group: GroupWritten = {
      at: this.#at,
      branch: id as BranchId,
      commit,
      changes: back.length,
      unfolded: seq - folded_seq,
      transaction: this.#branch.kind === 'transaction',
      scratch: noAreas,
      emptied: [],
      succeeded: [],
    }
    this.#tx.afterCommit(() => onWritten(group))
  }

  async #deletePlainly(
    deletes: readonly VersionDelete[],
    results: Map<VersionDelete, VersionDeleteResult>,
  ): Promise<void> {
    const requests = deletes.map(
      ({ path, conditions }): ChangeRequest => ({ path, entry: null, chunks: [], conditions, author: this.#author }),
    )
    const outcomes = await this.#parts.staging.submitWithin(this.#tx, this.#at, requests)
    for (const [index, wish] of deletes.entries()) results.set(wish, resultOf(wish, outcomes[index]!))
  }
}

function resultOf(wish: VersionDelete, outcome: ChangeOutcome): VersionDeleteResult {
  if (outcome.kind === 'done') {
    const { modifiedMs: _modifiedMs, ...result } = outcome.staged
    return wish.version === undefined
      ? { kind: 'deleted', result }
      : { kind: 'hidden', marker: false, wasLatest: true, unversioned: true }
  }
  if (outcome.error instanceof ConditionFailed) return { kind: 'refused', error: outcome.error }
  throw outcome.error
}

/** A marker has nothing that a condition could hold for. */
function versionRefusal(conditions: WriteConditions, current: Current | null): ConditionFailed | undefined {
  if (current) return refusal(conditions, current)
  return new ConditionFailed('the version is a delete marker', { condition: 'If-Match' })
}
