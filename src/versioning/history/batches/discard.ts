import { Corrupt, DomainError, StorageFull } from '../../../kernel/index.ts'
import type { Content } from '../../content/index.ts'
import type { StagedContent } from '../../content-store.ts'

/**
 * Passes an error on, after letting go of the content if the error says for sure that nothing refers to it: a refusal. After a failed
 * COMMIT that is not known, and the content stays until the next start.
 */
export async function discardRefused(content: Content, staged: StagedContent, error: unknown): Promise<never> {
  const refused = error instanceof DomainError && !(error instanceof StorageFull || error instanceof Corrupt)
  if (refused) await content.discard(staged)
  throw error
}
