import { InvalidInput, type Queries, type Transaction } from '../../../kernel/index.ts'
import type { ChangeResult, RenameInput } from '../../changes.ts'
import {
  type BranchAddress,
  type BranchId,
  type Path,
  RenameTokenUsed,
  scratchArea,
  type VersionId,
} from '../../model/index.ts'
import type { ChangeRequest, Staging } from '../batches/staging.ts'
import type { HistoryContext } from '../context.ts'
import type { StoredSharing } from './sharing.ts'
import type { VersionTags } from './tags.ts'

/** How long a rename that is asked again under its token gets its first answer. */
const REMEMBER_TOKENS_MS = 24 * 3_600_000
/** Tokens forgotten by one rename; more than one, so that they never pile up. */
const FORGET_AT_ONCE = 20

interface RenameParts {
  readonly context: Pick<HistoryContext, 'db' | 'clock'>
  readonly staging: Staging
  readonly tags: VersionTags
  readonly sharing: StoredSharing
}

interface Remembered {
  readonly source: string
  readonly path: string
  readonly commit_id: string
  readonly seq: number
  readonly at_ms: number
}

/** One PUT and one DELETE in one transaction, of the content that is there. Throws what `Versioning.rename` says. */
export async function renameFile(parts: RenameParts, at: BranchAddress, input: RenameInput): Promise<ChangeResult> {
  const { context, staging, tags, sharing } = parts
  const { path, source, conditions, author, token } = input
  // A scratch file is no version, and what stands beside the tree could not go with it.
  if (scratchArea(source.path) !== undefined || scratchArea(path) !== undefined) {
    throw new InvalidInput("files in scratch folders (_temporary/ and the like) can't be renamed: copy and delete them")
  }
  const { size, etag, content, attributes, checksum, modifiedMs } = source
  const entry = {
    size,
    etag,
    content,
    modifiedMs,
    attributes,
    ...(checksum ? { checksum } : {}),
    ...(source.parts === undefined ? {} : { parts: source.parts }),
  }
  const within = async (tx: Transaction, branch: BranchId, version: VersionId) => {
    if (token !== undefined) await remember(tx, branch, version, { ...input, token, nowMs: context.clock.now() })
    await tags.carry(tx, source.version, version)
    await sharing.carry(tx, source.version, version)
  }
  const requests: readonly ChangeRequest[] = [
    { path, entry, chunks: [], conditions, author, within },
    { path: source.path, entry: null, chunks: [], onVersion: source.version, author },
  ]
  const [outcome] = await staging.submit(at, requests, { together: true })
  if (outcome!.kind === 'done') {
    const { version, commit } = outcome!.staged
    return { version, commit, modifiedMs }
  }
  // Asked by two at once under one token, both get the answer of the one that did it.
  const done = token === undefined ? undefined : await renamedBefore(context.db, at, { token, from: source.path, path })
  if (done) return done
  throw outcome!.error
}

/** What a rename answered that was done under this token. Throws RenameTokenUsed if it was another one's. */
export async function renamedBefore(
  db: Queries,
  at: BranchAddress,
  { token, from, path }: { token: string; from: Path; path: Path },
): Promise<ChangeResult | undefined> {
  const row = await db.get<Remembered>(
    `SELECT r.source, r.path, r.commit_id, r.seq, r.at_ms FROM rename_tokens AS r JOIN branches AS b ON b.id = r.branch_id
     WHERE b.repo = ? AND b.name = ? AND r.token = ?`,
    [at.repo, at.branch, token],
  )
  if (!row) return undefined
  if (row.source !== from || row.path !== path) {
    throw new RenameTokenUsed(`this token was used for the rename of ${row.source} to ${row.path}`, {
      source: row.source,
      path: row.path,
    })
  }
  const commit = row.commit_id as VersionId['commit']
  return { version: { commit, seq: row.seq }, commit, modifiedMs: row.at_ms }
}

async function remember(
  tx: Transaction,
  branch: BranchId,
  version: VersionId,
  input: RenameInput & { readonly token: string; readonly nowMs: number },
): Promise<void> {
  const used = await tx.get('SELECT 1 FROM rename_tokens WHERE branch_id = ? AND token = ?', [branch, input.token])
  if (used) throw new RenameTokenUsed('this token was used meanwhile')
  await tx.run(
    'INSERT INTO rename_tokens (branch_id, token, source, path, commit_id, seq, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)',
    [branch, input.token, input.source.path, input.path, version.commit, version.seq, input.nowMs],
  )
  await tx.run(
    `DELETE FROM rename_tokens WHERE (branch_id, token) IN (
       SELECT branch_id, token FROM rename_tokens WHERE at_ms < ? ORDER BY at_ms LIMIT ${FORGET_AT_ONCE})`,
    [input.nowMs - REMEMBER_TOKENS_MS],
  )
}
