import type { Queries } from '../../../kernel/index.ts'
import {
  type BranchAddress,
  type CommitId,
  CommitUnavailable,
  type FileEntry,
  isVersion,
  type Path,
  PathNotFound,
  ReadOnly,
  type Target,
  type TargetInfo,
  type TreeHash,
  type VersionId,
  VersionNotFound,
} from '../../model/index.ts'
import { decodeLeaf, lookup, treeCursor } from '../../tree/index.ts'
import type {
  FileVersion,
  FileVersions,
  VersionDelete,
  VersionDeleteResult,
  VersionName,
  VersionPage,
  VersionQuery,
} from '../../versions.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import type { GroupWritten, Staging } from '../batches/staging.ts'
import { missing } from '../branches.ts'
import type { HistoryContext } from '../context.ts'
import type { Views } from '../views.ts'
import { findVersion, newestVersion, type VersionSources } from './brought.ts'
import { isHidden, readChain, sameVersion, type VersionChain, versionNameText } from './chain.ts'
import { deleteVersions } from './delete.ts'
import { listVersions, versionOfRow } from './list.ts'
import { NullVersions } from './null.ts'

interface VersionParts {
  readonly context: HistoryContext
  readonly staging: Staging
  readonly views: Views
  readonly onWritten: (group: GroupWritten) => void
  readonly onSealed: (at: BranchAddress, branchId: number) => void
  /** Resolves when the commit is finished. */
  readonly finished: (commit: CommitId) => Promise<unknown>
}

/** Versions as S3 shows them. They are the change rows: nothing is written for them but what was deleted by its id. */
export class StoredVersions implements FileVersions {
  readonly #parts: VersionParts
  readonly #nulls: NullVersions

  constructor(parts: VersionParts) {
    this.#parts = parts
    this.#nulls = new NullVersions(parts.context.db)
  }

  async list(target: Target, query: VersionQuery): Promise<VersionPage> {
    const { context, views } = this.#parts
    const { nodes } = context
    return this.#settled(() =>
      context.db.snapshot(async (queries) => {
        const chain = await readChain(queries, target)
        const current = chain.view ? await views.cursorOf(queries, chain.view) : treeCursor(nodes, chain.root!)
        return listVersions({ queries, nodes, nulls: this.#nulls, chain, current }, query)
      }),
    )
  }

  async find(target: Target, path: Path, version: VersionName): Promise<{ found: FileVersion; info: TargetInfo }> {
    const { context, views } = this.#parts
    const chain = await this.#settled(() => readChain(context.db, target))
    const current = await this.#current(target, path)
    const found =
      version === 'null'
        ? await this.#findNull(chain, path, current)
        : await this.#findId(chain, path, version, current)
    if (!found) {
      const text = versionNameText(version)
      throw new VersionNotFound(`${path} has no version ${text}`, { path, version: text })
    }
    return { found, info: await views.descriptions.describe(target) }
  }

  async marker(target: Target, path: Path): Promise<FileVersion | undefined> {
    const { db } = this.#parts.context
    const chain = await this.#settled(() => readChain(db, target))
    const newest = chain.enabled ? await newestVersion(this.#sources(db, chain), path) : undefined
    return newest?.entry === null ? versionOfRow(path, newest, true) : undefined
  }

  async delete(
    at: BranchAddress,
    deletes: readonly VersionDelete[],
    author?: string,
  ): Promise<readonly VersionDeleteResult[]> {
    const { context, staging, onWritten } = this.#parts
    return this.#settled(() => deleteVersions({ context, staging, onWritten, nulls: this.#nulls }, at, deletes, author))
  }

  async state(target: Target): Promise<'enabled' | 'unset'> {
    const { unversioned } = await this.#parts.views.descriptions.describe(target)
    return unversioned ? 'unset' : 'enabled'
  }

  async enable(at: BranchAddress): Promise<void> {
    const { context, onSealed, finished } = this.#parts
    const done = await context.db.write(async (tx) => {
      const branch = await tx.get<{ id: number; pipeline: string | null; versioned_from: number | null; kind: string }>(
        'SELECT id, pipeline, versioned_from, kind FROM branches WHERE repo = ? AND name = ?',
        [at.repo, at.branch],
      )
      if (!branch) throw await missing(tx, at)
      if (branch.versioned_from !== null) return undefined
      if (branch.kind === 'transaction') {
        throw new ReadOnly('a transaction shows versions as its branch does: enable versioning there', { ...at })
      }
      if (branch.pipeline !== null) {
        // What a pipeline makes has ids of its own, whatever was there before.
        await tx.run('UPDATE branches SET versioned_from = 0 WHERE id = ?', [branch.id])
        return undefined
      }
      const sealed = await sealOpenBatch(tx, branch.id, { includePinned: true })
      await tx.run('UPDATE branches SET versioned_from = last_seq, unversioned = tip WHERE id = ?', [branch.id])
      const row = await tx.get<{ tip: string | null }>('SELECT tip FROM branches WHERE id = ?', [branch.id])
      return { id: branch.id, sealed, tip: row?.tip as CommitId | null | undefined }
    })
    if (!done) return
    if (done.sealed) onSealed(at, done.id)
    // Its tree is where the `null` versions are.
    if (done.tip) await finished(done.tip)
  }

  /** Once more if the commit that holds the `null` versions was still being finished: that takes a moment. */
  async #settled<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof CommitUnavailable) || error.data['state'] !== 'sealed') throw error
      await this.#parts.finished(error.data['commit'] as CommitId)
      return work()
    }
  }

  async #current(target: Target, path: Path): Promise<FileEntry | undefined> {
    try {
      const { entry } = await this.#parts.views.find(target, path)
      return isVersion(entry.version) ? entry : undefined
    } catch (error) {
      if (error instanceof PathNotFound) return undefined
      throw error
    }
  }

  async #findNull(chain: VersionChain, path: Path, current: FileEntry | undefined): Promise<FileVersion | undefined> {
    if (current && (!chain.enabled || current.isNull)) return latest(current, 'null')
    if (!chain.enabled || chain.base?.named !== 'null') return undefined
    const entry = await this.#inTree(chain.base.root, path)
    if (!entry || (await isHidden(this.#parts.context.db, chain, path, entry.version))) return undefined
    return { path, version: 'null', isLatest: false, modifiedMs: entry.modifiedMs, entry: { ...entry, isNull: true } }
  }

  async #findId(
    chain: VersionChain,
    path: Path,
    version: VersionId,
    current: FileEntry | undefined,
  ): Promise<FileVersion | undefined> {
    const { db } = this.#parts.context
    if (!chain.enabled) return undefined
    if (current && !current.isNull && sameVersion(current.version, version)) return latest(current, version)
    const stored = await findVersion(this.#sources(db, chain), path, version)
    if (stored) {
      if (stored.hidden) return undefined
      const newest = current || stored.row.entry ? undefined : await newestVersion(this.#sources(db, chain), path)
      return versionOfRow(path, stored.row, newest !== undefined && sameVersion(newest.version, version))
    }
    const entry = await this.#derived(db, chain, path, version)
    return entry && { path, version, isLatest: false, modifiedMs: entry.modifiedMs, entry }
  }

  /** What a pipeline wrote has no change row: it is in the tree of the commit that its id names. */
  async #derived(
    queries: Queries,
    chain: VersionChain,
    path: Path,
    version: VersionId,
  ): Promise<FileEntry | undefined> {
    const commit = await queries.get<{ branch_id: number; root: string }>(
      "SELECT branch_id, root FROM commits WHERE id = ? AND kind = 'derived' AND state = 'finished'",
      [version.commit],
    )
    if (!commit || !chain.segments.some(({ branchId }) => branchId === commit.branch_id)) return undefined
    const entry = await this.#inTree(commit.root as TreeHash, path)
    if (!entry || !sameVersion(entry.version, version)) return undefined
    return (await isHidden(queries, chain, path, version)) ? undefined : entry
  }

  #sources(queries: Queries, chain: VersionChain): VersionSources {
    return { queries, nodes: this.#parts.context.nodes, nulls: this.#nulls, chain }
  }

  async #inTree(root: TreeHash, path: Path): Promise<FileEntry | undefined> {
    const item = await lookup(this.#parts.context.nodes, root, Buffer.from(path))
    return item && decodeLeaf(item.key, item.value)
  }
}

function latest(entry: FileEntry, version: VersionName): FileVersion {
  return { path: entry.path, version, isLatest: true, modifiedMs: entry.modifiedMs, entry }
}
