import type { Queries } from '../../../kernel/index.ts'
import type { CommitTagRow } from '../schema.ts'

/** The row of a tag, if there is one. */
export function readTag(queries: Pick<Queries, 'get'>, repo: string, name: string): Promise<CommitTagRow | undefined> {
  return queries.get<CommitTagRow>('SELECT * FROM commit_tags WHERE repo = ? AND name = ?', [repo, name])
}
