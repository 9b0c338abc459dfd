import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Clock, errnoOf, InvalidInput } from '../kernel/index.ts'
import type { Credentials } from './credentials.ts'
import { openFileStore } from './file/file-store.ts'
import type { ObjectStore } from './object-store.ts'
import { openTargetStore } from './open-target.ts'
import { hintOf } from './secrets/info.ts'
import type { SecretStore } from './secrets/store.ts'
import type { Target } from './target.ts'
import { createTargetGuard } from './target-guard.ts'
import { parseTargetUrl } from './target-url.ts'
import { hostAndPort } from './urls/host.ts'

/** Opens the places that whole stores are copied to and from. */
export interface Places {
  /**
   * `where`: an absolute path or `file:` URL of a folder, or the URL of a folder in an object store; `secret`: the name of what opens
   * that. A folder is made where it is missing only if that is said. Throws InvalidInput, SecretNotFound, and what the store says.
   */
  open(where: string, options: { readonly secret?: string | undefined; readonly make: boolean }): Promise<ObjectStore>
}

/** What places are opened with. */
export interface PlacesParts {
  /** Never a place: a copy in it would be lost with what it is a copy of. */
  readonly dataFolder: string | undefined
  readonly secrets: Pick<SecretStore, 'open'>
  /** Whether the host's own cloud identity may be used where no secret is named. */
  readonly hostIdentity: boolean
  /** As for every target; `asked`: whoever asks may reach what he pleases, since he has this machine. */
  readonly allowTargets: readonly string[] | 'asked'
  readonly clock: Clock
}

/** Places for backups: folders of this machine, and object stores. */
export function createPlaces(parts: PlacesParts): Places {
  return {
    async open(where, { secret, make }) {
      const folder = folderOf(where)
      if (folder === undefined) return openCloud(parts, where, secret)
      if (secret !== undefined) throw new InvalidInput(`${where} is a folder: it needs no secret`)
      if (parts.dataFolder !== undefined) await refuseInside(folder, parts.dataFolder)
      if (!make) await checkThere(folder)
      return openFileStore(folder, { clock: parts.clock, make })
    },
  }
}

/** The folder that a text names: an absolute path or a `file:` URL. Undefined: it is the URL of something else. */
function folderOf(where: string): string | undefined {
  if (/^file:/i.test(where)) {
    try {
      return fileURLToPath(where)
    } catch (error) {
      throw new InvalidInput(`${where} is no folder of this machine: write file:///absolute/path`, {}, error)
    }
  }
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(where)) return undefined
  if (!isAbsolute(where)) {
    throw new InvalidInput(
      `${JSON.stringify(where)} is neither an absolute path nor a URL (s3://, gs://, azblob://, file://)`,
    )
  }
  return where
}

/** A name that was mistyped must not become a folder. */
async function checkThere(folder: string): Promise<void> {
  const info = await stat(folder).catch((error: unknown) => {
    throw new InvalidInput(`there is no folder ${folder}`, {}, error)
  })
  if (!info.isDirectory()) throw new InvalidInput(`${folder} is no folder`)
}

async function refuseInside(folder: string, dataFolder: string): Promise<void> {
  const path = relative(await realOf(dataFolder), await realOf(folder))
  if (path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path)) return
  throw new InvalidInput(`${folder} lies in the data folder, and would be lost with it: take a folder of another disk`)
}

/** Where a path leads by way of symbolic links, also one whose end is not there yet. */
async function realOf(path: string): Promise<string> {
  const absolute = resolve(path)
  try {
    return await realpath(absolute)
  } catch (error) {
    const above = dirname(absolute)
    if (errnoOf(error) !== 'ENOENT' || above === absolute) throw error
    return join(await realOf(above), basename(absolute))
  }
}

async function openCloud(parts: PlacesParts, where: string, secret: string | undefined): Promise<ObjectStore> {
  if (secret !== undefined) {
    const { info, credentials } = await parts.secrets.open(secret)
    return openTarget(parts, parseTargetUrl(where, hintOf(info)), credentials)
  }
  const target = parseTargetUrl(where)
  if (!parts.hostIdentity) {
    throw new InvalidInput(
      `${target.url} needs credentials: name a secret (sluice secret create NAME makes one), or start Sluice with ` +
        'SLUICE_EGRESS_DEFAULT_CREDENTIALS=on to use those of the host',
    )
  }
  return openTarget(parts, target, undefined)
}

function openTarget({ allowTargets, clock }: PlacesParts, target: Target, credentials: Credentials | undefined) {
  const asked = target.endpoint === undefined ? [] : [hostPattern(target.endpoint)]
  const guard = createTargetGuard({ allowTargets: allowTargets === 'asked' ? asked : allowTargets })
  return openTargetStore(target, credentials, { guard, clock, random: Math.random })
}

function hostPattern(endpoint: string): string {
  const { host, port } = hostAndPort(endpoint)
  return `${host}:${port}`
}
