import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import type { BranchJson } from '../api/contract.ts'
import { errnoOf, errorMessage } from '../kernel/index.ts'
import { type ApiClient, apiPath } from './client.ts'
import { ApiError, CliError } from './errors.ts'

/** A file to be written: from where, to which path. */
export interface LocalFile {
  readonly source: string
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/** A branch that is not there yet is made, as a bucket would be; its repo has to be there, so that a slip of the pen makes none. */
export async function ensureBranch(api: ApiClient, repo: string, branch: string): Promise<void> {
  try {
    await api.get<BranchJson>(apiPath`/v1/repos/${repo}/branches/${branch}`)
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'BranchNotFound') throw error
    await api.post(apiPath`/v1/repos/${repo}/branches`, { name: branch })
  }
}

/** All files of a folder; links to files are followed. */
export async function collectFolder(folder: string, prefix: string): Promise<LocalFile[]> {
  const files: LocalFile[] = []
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const source = join(item.parentPath, item.name)
    // Names are read as UTF-8; what is not comes with a character that stands for what could not be read.
    if (source.includes('\uFFFD') && !existsSync(source)) {
      throw new CliError(
        `${source}: its name is not UTF-8, and no file of a repo has such a name; rename it, or leave it out`,
      )
    }
    const info = item.isSymbolicLink() ? await statLocal(source) : item
    if (!info.isFile()) continue
    const path = prefix + relative(folder, source).split(sep).join('/')
    const { size, mtimeMs } = await statLocal(source)
    files.push({ source, path, size, mtimeMs })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** What stands before the names of files that go into a folder of a repo. */
export function folderPrefix(target: string | undefined): string {
  return target === undefined || target.endsWith('/') ? (target ?? '') : `${target}/`
}

export async function statLocal(path: string) {
  try {
    return await stat(path)
  } catch (cause) {
    const why = errnoOf(cause) === 'ENOENT' ? 'is not there' : `can't be read: ${errorMessage(cause)}`
    throw new CliError(`${path} ${why}`, { cause })
  }
}
