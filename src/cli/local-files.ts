import { isUtf8 } from 'node:buffer'
import type { Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
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

/** Something in a folder that can't be a file of a repo; `why` follows its name in a sentence. */
export interface LeftOut {
  readonly name: string
  readonly why: string
}

/** All files of a folder; links to files are followed. `onLeftOut` is told what can't be a file of a repo; it may throw. */
export async function collectFolder(
  folder: string,
  prefix: string,
  onLeftOut: (left: LeftOut) => void,
): Promise<LocalFile[]> {
  const files: LocalFile[] = []
  const folders = ['']
  for (let inside = folders.pop(); inside !== undefined; inside = folders.pop()) {
    // Names as bytes: what is not UTF-8 can't be read under the text that it would come as.
    for (const item of await readdir(join(folder, inside), { encoding: 'buffer', withFileTypes: true })) {
      const name = inside + item.name.toString('utf8')
      if (!isUtf8(item.name)) {
        onLeftOut({ name, why: 'has a name that is not UTF-8' })
        continue
      }
      if (item.isDirectory()) {
        folders.push(`${name}/`)
        continue
      }
      const source = join(folder, name)
      const info = item.isSymbolicLink() ? await followed(source) : await statLocal(source)
      const why = refusedKind(item.isSymbolicLink(), info)
      if (why !== undefined) onLeftOut({ name, why })
      else if (info) files.push({ source, path: prefix + name, size: info.size, mtimeMs: info.mtimeMs })
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** What a link leads to; undefined: to nothing. */
async function followed(link: string): Promise<Stats | undefined> {
  try {
    return await stat(link)
  } catch (cause) {
    // ELOOP: to itself.
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ELOOP') return undefined
    throw new CliError(`${link} can't be read: ${errorMessage(cause)}`, { cause })
  }
}

function refusedKind(isLink: boolean, info: Stats | undefined): string | undefined {
  if (!info) return 'is a link that leads to nothing'
  if (info.isFile()) return undefined
  if (info.isDirectory()) return 'is a link to a folder, and those are not followed'
  return `is ${isLink ? 'a link to ' : ''}a device, a pipe or a socket, and no file`
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
