import type { DiffQuery, DiffSide, DiffStat, FileChange, FileLogOf, LookingBack } from '../looking-back.ts'
import type { CommitId, RepoName } from '../model/index.ts'
import type { Difference } from '../trees.ts'
import type { HistoryContext } from './context.ts'
import { baseOfSide, diffSides } from './log/diff.ts'
import { diffStat } from './log/diff-stat.ts'
import { fileLog } from './log/file-log.ts'
import type { Views } from './views.ts'

/** Looking back, over the rows and trees of a store. */
export class StoredHistory implements LookingBack {
  readonly #parts: { readonly context: HistoryContext; readonly views: Views }

  constructor(context: HistoryContext, views: Views) {
    this.#parts = { context, views }
  }

  diff(before: DiffSide, after: DiffSide, query?: DiffQuery): AsyncIterable<Difference> {
    return diffSides(this.#parts, before, after, query)
  }

  baseOf(side: DiffSide): Promise<DiffSide> {
    return baseOfSide(this.#parts, side)
  }

  diffStat(before: DiffSide, after: DiffSide, prefix = ''): AsyncIterable<DiffStat> {
    return diffStat(this.diff(before, after, { prefix }), prefix)
  }

  fileLog(
    repo: RepoName,
    from: CommitId,
    of: FileLogOf,
    query?: { limit?: number; before?: CommitId },
  ): AsyncIterable<FileChange> {
    return fileLog(this.#parts, repo, from, of, query)
  }
}
