/** Specs as the guides of docs/egress show them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../server.ts'

/** The `egress` that a guide shows, the n-th of its page (from 0), with the place of the suite where it has its own. */
export function shownIn(
  guide: string,
  n: number,
  place: { readonly URL?: string; readonly secret?: string } = {},
): Record<string, unknown> {
  const page = readFileSync(join(repository, 'docs/egress', `${guide}.md`), 'utf8')
  const blocks = [...page.matchAll(/^```json\n("egress": .*?)^```$/gms)]
  const block = blocks[n]?.[1]
  assert.ok(block, `docs/egress/${guide}.md shows ${n + 1} specs`)
  return { ...JSON.parse(`{${block}}`).egress, ...place }
}
