import { randomBytes } from 'node:crypto'
import { MAX_LIST_KEYS, MAX_PARTS, type Transaction } from '../../kernel/index.ts'
import type { ChangeResult, WriteConditions } from '../changes.ts'
import type { StagedContent } from '../content-store.ts'
import {
  type Attributes,
  type BranchAddress,
  type BranchId,
  type CannedAccess,
  type Checksum,
  type CommitId,
  type Entry,
  InvalidPart,
  isVersion,
  NO_VERSION,
  type Path,
  scratchArea,
  UploadNotFound,
  type VersionId,
} from '../model/index.ts'
import { decodeEntry, encodeEntry } from '../tree/index.ts'
import type { PartInfo, UploadInfo, Uploads } from '../uploads.ts'
import type { Batches } from './batches/batches.ts'
import { discardRefused } from './batches/discard.ts'
import type { Staging } from './batches/staging.ts'
import { controlReason, missing, writableBranch } from './branches.ts'
import type { HistoryContext } from './context.ts'
import type { StoredSharing } from './files/sharing.ts'
import { readTags, refuseScratch, type VersionTags, writeTags } from './files/tags.ts'
import type { PartRow, UploadRow } from './schema.ts'
import { md5OfMd5s, namedParts, partOf, refuseReplaced } from './upload-parts.ts'

type CompleteInput = Parameters<Uploads['complete']>[3]
type Completed = Awaited<ReturnType<Uploads['complete']>>

/** With what its branch shows of versions. */
interface FoundUpload extends UploadRow {
  readonly unversioned: number
}

interface ChangeInput {
  readonly entry: Entry
  readonly staged: StagedContent
  /** What it is made of. */
  readonly parts: readonly PartRow[]
  readonly id: string
  readonly named: string
  readonly author: string | undefined
  readonly tags: UploadInfo['tags'] | undefined
  readonly access: UploadInfo['access'] | undefined
  readonly conditions: WriteConditions | undefined
}

/** What stands beside the tree, and is written with the change. */
interface Beside {
  readonly tags: VersionTags
  readonly sharing: StoredSharing
}

/** How long a Complete that is asked again gets its first answer. */
const REMEMBER_COMPLETED_MS = 24 * 3_600_000
/** Completed uploads forgotten by one Complete; more than one, so that they never pile up. */
const FORGET_AT_ONCE = 20

/** Multipart uploads: rows until Complete makes an ordinary change of them. */
export class BranchUploads implements Uploads {
  readonly #context: HistoryContext
  readonly #staging: Staging
  readonly #batches: Batches
  readonly #beside: Beside

  constructor(context: HistoryContext, staging: Staging, batches: Batches, beside: Beside) {
    this.#context = context
    this.#staging = staging
    this.#batches = batches
    this.#beside = beside
  }

  async create(at: BranchAddress, input: Parameters<Uploads['create']>[1]): Promise<UploadInfo> {
    const { db, clock } = this.#context
    const refused = controlReason(input.path)
    if (refused) throw refused
    // Here, and not when it is completed: all its parts would have been sent for nothing.
    if (scratchArea(input.path) !== undefined) refuseBesideScratch(input)
    // Not base64: a command line would take an id that begins with a dash for an option.
    const info: UploadInfo = { ...input, id: randomBytes(24).toString('hex'), createdMs: clock.now() }
    await db.write(async (tx) => {
      const { id: branchId } = await writableBranch(tx, at)
      await tx.run(
        `INSERT INTO uploads (id, branch_id, path, attributes, algorithm, type, author, initiator, created_ms, tags, access, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')`,
        [
          info.id,
          branchId,
          info.path,
          JSON.stringify(info.attributes),
          info.checksumAlgorithm ?? null,
          info.checksumType ?? null,
          info.author ?? null,
          info.initiator ?? null,
          info.createdMs,
          info.tags ? writeTags(info.tags) : null,
          info.access ?? null,
        ],
      )
    })
    this.#batches.uploadTouched(at, info.id)
    return info
  }

  async get(at: BranchAddress, path: Path, id: string): Promise<UploadInfo> {
    return uploadOf(await this.#row(at, path, id, 'open'))
  }

  async putPart(
    at: BranchAddress,
    path: Path,
    id: string,
    part: { number: number; staged: StagedContent; md5: string; checksum?: Checksum },
  ): Promise<PartInfo> {
    if (!Number.isInteger(part.number) || part.number < 1 || part.number > MAX_PARTS) {
      throw new InvalidPart(`part numbers are 1 to ${MAX_PARTS}`, { number: part.number })
    }
    const modifiedMs = this.#context.clock.now()
    const { staged, md5, checksum } = part
    const entry = encodeEntry({
      size: staged.size,
      etag: md5,
      content: staged.content,
      modifiedMs,
      attributes: { metadata: {} },
      ...(checksum ? { checksum } : {}),
    })
    const stored = this.#context.db.write(async (tx) => {
      const open = await tx.get("SELECT 1 FROM uploads WHERE id = ? AND path = ? AND state = 'open'", [id, path])
      if (!open) throw notFound(id)
      await this.#context.content.admit(tx, staged)
      await this.#context.content.publish(tx, staged.chunks)
      await tx.run(
        `INSERT INTO parts (upload_id, number, size, md5, entry, modified_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (upload_id, number) DO UPDATE SET size = excluded.size, md5 = excluded.md5, entry = excluded.entry,
           modified_ms = excluded.modified_ms`,
        [id, part.number, staged.size, md5, entry, modifiedMs],
      )
    })
    await stored.catch((error: unknown) => discardRefused(this.#context.content, staged, error))
    this.#batches.uploadTouched(at, id)
    return { number: part.number, size: staged.size, md5, modifiedMs, ...(checksum ? { checksum } : {}) }
  }

  async listParts(
    at: BranchAddress,
    path: Path,
    id: string,
    page: { after: number; limit: number },
  ): Promise<{ parts: readonly PartInfo[]; truncated: boolean }> {
    await this.#row(at, path, id, 'open')
    const limit = Math.min(page.limit, MAX_LIST_KEYS)
    const rows = await this.#context.db.all<PartRow>(
      'SELECT * FROM parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?',
      [id, page.after, limit + 1],
    )
    return { parts: rows.slice(0, limit).map(partOf), truncated: rows.length > limit }
  }

  async list(
    at: BranchAddress,
    query: { prefix?: string; after?: { path: string; id?: string }; limit: number },
  ): Promise<{ uploads: readonly UploadInfo[]; truncated: boolean }> {
    const branchId = await this.#branch(at)
    const limit = Math.min(query.limit, MAX_LIST_KEYS)
    const prefix = query.prefix ?? ''
    const { path, id } = query.after ?? { path: '' }
    const rows = await this.#context.db.all<UploadRow>(
      `SELECT * FROM uploads WHERE branch_id = ? AND state = 'open' AND substr(path, 1, ?) = ? AND path >= ?
         AND (path > ? OR (path = ? AND id > ?)) ORDER BY path, id LIMIT ?`,
      // Without an id all uploads of that path are passed by: no id is greater than this.
      [branchId, [...prefix].length, prefix, prefix, path, path, id ?? '~', limit + 1],
    )
    return { uploads: rows.slice(0, limit).map(uploadOf), truncated: rows.length > limit }
  }

  async complete(at: BranchAddress, path: Path, id: string, input: CompleteInput): Promise<Completed> {
    const row = await this.#row(at, path, id)
    const named = JSON.stringify(input.parts)
    if (row.state === 'completed') return repeated(row, named)
    const parts = await namedParts(this.#context.db, id, input.parts)
    const staged = await this.#context.content.manifestOfParts(
      parts.map((part) => {
        const { content, checksum } = decodeEntry(part.entry)
        return {
          number: part.number,
          size: part.size,
          md5: part.md5,
          content,
          ...(checksum ? { checksum: checksum.value } : {}),
        }
      }),
    )
    const upload = uploadOf(row)
    const etag = `${md5OfMd5s(parts)}-${parts.length}`
    const entry: Entry = {
      size: staged.size,
      etag,
      content: staged.content,
      modifiedMs: this.#context.clock.now(),
      attributes: upload.attributes,
      parts: parts.length,
      ...(input.checksum ? { checksum: input.checksum } : {}),
    }
    const change = await this.#changeOnce(at, path, {
      entry,
      staged,
      parts,
      id,
      named,
      author: upload.author,
      tags: upload.tags,
      access: upload.access,
      conditions: input.conditions,
    })
    this.#batches.uploadEnded(at, id)
    return { ...change, etag, size: staged.size, ...(input.checksum ? { checksum: input.checksum } : {}) }
  }

  async abort(at: BranchAddress, path: Path, id: string): Promise<void> {
    await this.#row(at, path, id, 'open')
    await this.#context.db.write(async (tx) => {
      const removed = await tx.run("DELETE FROM uploads WHERE id = ? AND state = 'open'", [id])
      if (removed === 0) throw notFound(id)
      await tx.run('DELETE FROM parts WHERE upload_id = ?', [id])
    })
    this.#batches.uploadEnded(at, id)
  }

  /** Asked by two at once, both get the answer of the one that did it. */
  async #changeOnce(at: BranchAddress, path: Path, input: ChangeInput): Promise<ChangeResult> {
    try {
      return await this.#change(at, path, input)
    } catch (error) {
      if (!(error instanceof UploadNotFound)) throw error
      const row = await this.#row(at, path, input.id)
      if (row.state !== 'completed') throw error
      return repeated(row, input.named)
    }
  }

  async #change(at: BranchAddress, path: Path, input: ChangeInput): Promise<ChangeResult> {
    const { entry, staged, id } = input
    const nowMs = this.#context.clock.now()
    // Of two Completes at once one does it; the other finds the upload gone in the same transaction that would have made the change.
    const within = async (tx: Transaction, branch: BranchId, version: VersionId) => {
      if (!isVersion(version)) refuseBesideScratch(input)
      const open = await tx.get("SELECT 1 FROM uploads WHERE id = ? AND branch_id = ? AND state = 'open'", [id, branch])
      if (!open) throw notFound(id)
      await refuseReplaced(tx, id, input.parts)
      await tx.run(
        "UPDATE uploads SET state = 'completed', result = ?, completed_ms = ? WHERE id = ? AND branch_id = ? AND state = 'open'",
        [
          JSON.stringify({
            ...version,
            named: input.named,
            etag: entry.etag,
            size: entry.size,
            modifiedMs: entry.modifiedMs,
            checksum: entry.checksum,
          }),
          nowMs,
          id,
          branch,
        ],
      )
      await tx.run('DELETE FROM parts WHERE upload_id = ?', [id])
      if (input.tags) await this.#beside.tags.write(tx, version, input.tags)
      if (input.access) await this.#beside.sharing.write(tx, version, input.access)
      await tx.run(
        `DELETE FROM uploads WHERE id IN (
           SELECT id FROM uploads WHERE completed_ms < ? ORDER BY completed_ms LIMIT ${FORGET_AT_ONCE})`,
        [nowMs - REMEMBER_COMPLETED_MS],
      )
    }
    const [outcome] = await this.#staging.submit(at, [
      {
        path,
        entry,
        chunks: staged.chunks,
        relies: staged.relies,
        conditions: input.conditions,
        author: input.author,
        within,
      },
    ])
    if (outcome!.kind === 'refused') throw outcome!.error
    const { existed: _existed, ...change } = outcome!.staged
    return change
  }

  async #row(at: BranchAddress, path: Path, id: string, state?: 'open'): Promise<FoundUpload> {
    const row = await this.#context.db.get<FoundUpload>(
      `SELECT u.*, b.versioned_from IS NULL AS unversioned FROM uploads AS u JOIN branches AS b ON b.id = u.branch_id
       WHERE u.id = ? AND u.path = ? AND b.repo = ? AND b.name = ?`,
      [id, path, at.repo, at.branch],
    )
    if (!row || (state && row.state !== state)) {
      await this.#branch(at)
      throw notFound(id)
    }
    return row
  }

  async #branch(at: BranchAddress): Promise<number> {
    const { db } = this.#context
    const row = await db.get<{ id: number }>('SELECT id FROM branches WHERE repo = ? AND name = ?', [
      at.repo,
      at.branch,
    ])
    if (!row) throw await missing(db, at)
    return row.id
  }
}

/** Throws InvalidInput for what a scratch file can't have. */
function refuseBesideScratch({ tags = [], access = 'private' }: Partial<Pick<ChangeInput, 'tags' | 'access'>>): void {
  if (tags.length > 0) refuseScratch(NO_VERSION, 'tags')
  if (access !== 'private') refuseScratch(NO_VERSION, 'an ACL')
}

function notFound(id: string): UploadNotFound {
  return new UploadNotFound(`there is no upload ${id}: it was completed, aborted or never begun`, { upload: id })
}

/** A Complete asked again, by a client that did not hear the first answer. */
function repeated(row: FoundUpload, named: string): Completed {
  const result = JSON.parse(row.result ?? '{}') as {
    named: string
    etag: string
    size: number
    modifiedMs: number
    commit: CommitId
    seq: number
    checksum?: Checksum
  }
  if (result.named !== named) throw notFound(row.id)
  return {
    version: { commit: result.commit, seq: result.seq },
    commit: result.commit,
    modifiedMs: result.modifiedMs,
    etag: result.etag,
    size: result.size,
    ...(row.unversioned ? { unversioned: true } : {}),
    ...(result.checksum ? { checksum: result.checksum } : {}),
  }
}

function uploadOf(row: UploadRow): UploadInfo {
  return {
    id: row.id,
    path: row.path as Path,
    attributes: JSON.parse(row.attributes) as Attributes,
    createdMs: row.created_ms,
    ...(row.algorithm ? { checksumAlgorithm: row.algorithm as Checksum['algorithm'] } : {}),
    ...(row.type ? { checksumType: row.type as Checksum['type'] } : {}),
    ...(row.author ? { author: row.author } : {}),
    ...(row.initiator ? { initiator: row.initiator } : {}),
    ...(row.tags ? { tags: readTags(row.tags) } : {}),
    ...(row.access ? { access: row.access as CannedAccess } : {}),
  }
}
