import type { Entry } from '../versioning/index.ts'
import { METADATA_BYTES } from './limits.ts'
import type { ClaimedPush } from './pushes.ts'

export const PIPELINE_FACT = 'sluice-pipeline'

/**
 * What an object says about itself at the target: what the file's own metadata says, and where it comes from, the most important
 * facts first, as far as there is room.
 */
export function objectMetadata(entry: Entry, push: ClaimedPush): Record<string, string> {
  const own = Object.entries(entry.attributes.metadata).filter(([name]) => !name.startsWith('sluice-'))
  const facts: [string, string][] = [
    [PIPELINE_FACT, push.pipeline],
    ['sluice-repo', push.repo],
    ['sluice-commit', push.commit],
    ['sluice-job', push.job],
    ['sluice-provenance', push.provenance.map(({ repo, commit }) => `${repo}@${commit}`).join(', ')],
  ]
  let room = METADATA_BYTES
  const fitting = [...own, ...facts].filter(([name, value]) => {
    const bytes = Buffer.byteLength(name) + Buffer.byteLength(value)
    if (value === '' || bytes > room) return false
    room -= bytes
    return true
  })
  return Object.fromEntries(fitting)
}
