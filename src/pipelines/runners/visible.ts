import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** What a sandbox shows of the host. Computed once, since the system's own folders do not move. */
export interface SystemView {
  /** Read-only folders and files. */
  readonly folders: readonly string[]
  /** `/bin` → `usr/bin` and the like. */
  readonly links: readonly { readonly path: string; readonly target: string }[]
}

const systemFolders = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/lib32', '/libx32', '/opt']
/** Programs look these up; nothing in them is secret. `/etc` as a whole would show shadow and private keys. */
const etcNames = new Set([
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'ca-certificates',
  'pki',
  'passwd',
  'group',
  'localtime',
  'timezone',
  'nsswitch.conf',
  'mime.types',
  'fonts',
])
const etcPatterns = /^(python\d|java|ImageMagick|R$|jvm|magic$)/
const etcInside = ['/etc/ssl/certs', '/etc/ssl/openssl.cnf']

export async function systemView(): Promise<SystemView> {
  const folders: string[] = []
  const links: { path: string; target: string }[] = []
  for (const path of systemFolders) {
    const info = await lstat(path).catch(() => undefined)
    if (info?.isSymbolicLink()) links.push({ path, target: await readlink(path) })
    else if (info) folders.push(path)
  }
  // A system without /etc has nothing to show of it.
  for (const name of await readdir('/etc').catch(() => [])) {
    if (etcNames.has(name) || etcPatterns.test(name)) folders.push(join('/etc', name))
  }
  for (const path of etcInside) if (await lstat(path).catch(() => undefined)) folders.push(path)
  return { folders, links }
}

/** True if `path` is `folder` or below it. Both are absolute and normalised. */
export function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way === '' || (!way.startsWith('../') && way !== '..')
}

/** Parents before children, without what a folder of the list shows anyway. */
export function outermost(paths: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (const path of [...new Set(paths)].sort()) if (!kept.some((folder) => isInside(path, folder))) kept.push(path)
  return kept
}

/** The places in the sandbox at which the shown folders would let `hidden` be seen. */
export async function placesToHide(shown: readonly string[], hidden: string): Promise<readonly string[]> {
  const realHidden = await realpath(hidden).catch(() => hidden)
  const places = new Set<string>()
  for (const folder of shown) {
    const real = await realpath(folder).catch(() => folder)
    if (isInside(realHidden, real)) places.add(join(folder, relative(real, realHidden)))
  }
  return [...places]
}
