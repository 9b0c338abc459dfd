import type { Entry } from '../versioning/index.ts'
import { sha256Of } from './fingerprint.ts'
import { METADATA_BYTES } from './limits.ts'
import type { ClaimedPush } from './pushes.ts'

export const PIPELINE_FACT = 'sluice-pipeline'
/** The SHA-256 of the bytes, base64url; on files up to 1 MiB, where it is known without reading them. */
export const SHA256_FACT = 'sluice-sha256'
/** For larger files: what their content is called here. A push that died knows by it what it had sent whole. */
export const CONTENT_FACT = 'sluice-content'

/** Whether an object's metadata of this name is ours, and not the file's own. */
export function isFact(name: string): boolean {
  return name.startsWith('sluice-')
}

/**
 * What an object says about itself at the target: what the file's own metadata says, and where it comes from, the most important
 * facts first, as far as there is room.
 */
export function objectMetadata(entry: Entry, push: ClaimedPush): Record<string, string> {
  const own = Object.entries(entry.attributes.metadata).filter(([name]) => !isFact(name))
  const facts: [string, string][] = [
    [PIPELINE_FACT, push.pipeline],
    [SHA256_FACT, sha256Of(entry) ?? ''],
    [CONTENT_FACT, entry.content.kind === 'manifest' ? entry.content.sha256.toString('base64url') : ''],
    ['sluice-repo', push.repo],
    ['sluice-commit', push.commit],
    ['sluice-job', push.job ?? ''],
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
