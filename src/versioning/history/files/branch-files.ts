import type { ChangeResult, DeleteResult, FileWrite } from '../../changes.ts'
import { type BranchAddress, ConditionFailed } from '../../model/index.ts'
import type { Versioning } from '../../versioning.ts'
import { discardRefused } from '../batches/discard.ts'
import type { ChangeRequest, Staging } from '../batches/staging.ts'
import { controlReason } from '../branches.ts'
import type { HistoryContext } from '../context.ts'
import { renamedBefore, renameFile } from './rename.ts'
import type { StoredSharing } from './sharing.ts'
import type { VersionTags } from './tags.ts'

type Method<Name extends keyof Versioning> = Versioning[Name] extends (...args: infer Args) => unknown ? Args : never

interface Parts {
  readonly context: HistoryContext
  readonly staging: Staging
  readonly tags: VersionTags
  readonly sharing: StoredSharing
}

/** Writes of single files to a branch: each becomes a change of its open batch, together with what stands beside the tree. */
export class BranchFiles {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  put(at: BranchAddress, write: FileWrite): Promise<ChangeResult> {
    const { path, staged, etag, attributes, checksum, conditions, author } = write
    const modifiedMs = this.#parts.context.clock.now()
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
    }).catch((error: unknown) => discardRefused(this.#parts.context.content, staged, error))
  }

  copy(...[at, path, input]: Method<'copy'>): Promise<ChangeResult> {
    const { source, attributes, checksum, conditions, author } = input
    const { size, etag, content, parts } = source
    const kept = checksum ?? source.checksum
    const entry = {
      size,
      etag,
      content,
      modifiedMs: this.#parts.context.clock.now(),
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
    return (await renamedBefore(this.#parts.context.db, at, rename)) !== undefined
  }

  rename(...[at, input]: Method<'rename'>): Promise<ChangeResult> {
    return renameFile(this.#parts, at, input)
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
    const outcomes = await this.#parts.staging.submit(
      at,
      deletes.map(({ path, conditions }) => ({ path, entry: null, chunks: [], conditions, author })),
    )
    return outcomes.map((outcome) => {
      if (outcome.kind === 'done') return { kind: 'deleted', result: outcome.staged }
      if (outcome.error instanceof ConditionFailed) return { kind: 'refused', error: outcome.error }
      throw outcome.error
    })
  }

  /** What stands beside the tree, and is written with the change. */
  #beside({ tags = [], access = 'private' }: Pick<FileWrite, 'tags' | 'access'>): Pick<ChangeRequest, 'within'> {
    if (tags.length === 0 && access === 'private') return {}
    return {
      within: async (tx, _branch, version) => {
        await this.#parts.tags.write(tx, version, tags)
        await this.#parts.sharing.write(tx, version, access)
      },
    }
  }

  async #change(at: BranchAddress, request: ChangeRequest) {
    const [outcome] = await this.#parts.staging.submit(at, [request])
    if (outcome!.kind === 'refused') throw outcome!.error
    return outcome!.staged
  }
}
