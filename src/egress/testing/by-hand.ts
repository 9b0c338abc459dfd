import { parseRepoName } from '../../versioning/index.ts'
import { branchOf, putText, sealCommit } from '../../versioning/testing/store.ts'
import type { EgressInfo } from '../index.ts'
import type { Harness } from './harness.ts'

export const ada = { canonicalId: 'a'.repeat(64), name: 'ada' }
export const target = { URL: 's3://bucket/dir', secret: 'target' }

/** Makes the repo where it is missing, and a commit of these files on its branch. */
export async function commit(h: Harness, repo: string, files: Record<string, string>): Promise<string> {
  const at = branchOf(`${repo}@master`)
  await h.versioning.createBranch(at)
  for (const [path, text] of Object.entries(files)) await putText(h.versioning, at, path, text)
  return (await sealCommit(h.versioning, at)).id
}

/** Asks for a push by hand. */
export async function run(h: Harness, source: string, egress: object = target): Promise<EgressInfo> {
  const [repo, revision] = source.split('@')
  return (await h.egress.run({ repo: parseRepoName(repo!), revision: revision!, egress, askedBy: ada })).egress
}

/** Resolves once the row says so, whatever the process that pushes knows of it. */
export async function succeeded(h: Harness, id: string): Promise<void> {
  for (;;) {
    const row = await h.db.get<{ state: string }>('SELECT state FROM egress_push WHERE id = ?', [id])
    if (row?.state === 'success') return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
