import type { Target } from '../cloud/index.ts'
import { BYTE_SIZE_FORM, InvalidInput, MIN_EGRESS_BANDWIDTH, parseByteSize } from '../kernel/index.ts'
import { parseManifestGlob } from './manifest-glob.ts'

/** A list of the files of a commit, in the form that Redshift's COPY reads. */
export interface ManifestSettings {
  /** Below the target folder, or below each commit's. */
  readonly path: string
  /** Lists the files that match; undefined: all. */
  readonly glob?: string
}

/** How a target is filled: from a spec's `egress`, or the flags of `egress run`. Kept as JSON with the push. */
export interface PushSettings {
  readonly layout: 'plain' | 'commit'
  /** Layout `commit`: how many commits' folders stay at the target; undefined: all. */
  readonly keep?: number
  readonly manifests: readonly ManifestSettings[]
  /** `_SUCCESS` is written last even where the commit has none. */
  readonly success: boolean
  /** Files at once. */
  readonly parallel?: number
  /** Bytes per second. */
  readonly bandwidth?: number
}

/** The files as they are, and nothing else. */
export const PLAIN_SETTINGS: PushSettings = { layout: 'plain', manifests: [], success: false }

/** The fields of a spec's `egress` that `parseSettings` reads. */
export const SETTING_FIELDS: readonly string[] = ['layout', 'keep', 'manifest', 'success', 'parallel', 'bandwidth']

/** Written where all is there. */
export const SUCCESS_FILE = '_SUCCESS'
/** Layout `commit`: names the folder to read. */
export const LATEST_FILE = 'latest'

/** What decides which files are at a target beside those of the tree, and where; nothing for the plain settings. */
export function publishedAs({ layout, manifests, success }: PushSettings): string {
  if (layout === 'plain' && manifests.length === 0 && !success) return ''
  return JSON.stringify([layout, success, manifests.map(({ path, glob }) => [path, glob ?? null])])
}

const DEFAULT_MANIFEST = 'manifest.json'
const MAX_MANIFESTS = 100
const MAX_MANIFEST_PATH_BYTES = 512
const MAX_KEEP = 1000
const MAX_PARALLEL = 64

/** Reads the fields of SETTING_FIELDS; others are not looked at. Throws InvalidInput that names `egress.<field>`. */
export function parseSettings(fields: Readonly<Record<string, unknown>>, target: Target): PushSettings {
  const layout = readLayout(fields['layout'])
  const keep = readKeep(fields['keep'], layout)
  const manifests = readManifests(fields['manifest'], layout)
  if (manifests.length > 0 && target.kind !== 's3') {
    throw wrong(
      'manifest',
      `is a list of files for Redshift, which reads from Amazon S3 only; ${target.url} is not there`,
    )
  }
  const success = fields['success'] ?? false
  if (typeof success !== 'boolean') throw wrong('success', 'is true or false')
  const parallel = readCount('parallel', fields['parallel'], 1, MAX_PARALLEL)
  const bandwidth = readBandwidth(fields['bandwidth'])
  return {
    layout,
    ...(keep === undefined ? {} : { keep }),
    manifests,
    success,
    ...(parallel === undefined ? {} : { parallel }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
  }
}

function readLayout(value: unknown): PushSettings['layout'] {
  if (value === undefined) return 'plain'
  if (value === 'plain' || value === 'commit') return value
  throw wrong('layout', 'is "plain" (the files stand in the folder itself) or "commit" (a folder for each commit)')
}

function readKeep(value: unknown, layout: PushSettings['layout']): number | undefined {
  if (value === undefined) return undefined
  if (layout !== 'commit') throw wrong('keep', 'needs "layout": "commit"; else there are no folders to keep')
  if (value === 1) {
    throw wrong(
      'keep',
      'must be at least 2: whoever has read `latest` just before it moves still reads the folder before',
    )
  }
  return readCount('keep', value, 2, MAX_KEEP)
}

function readCount(field: string, value: unknown, least: number, most: number): number | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw wrong(field, `is a whole number from ${least} to ${most}`)
  }
  return value
}

function readBandwidth(value: unknown): number | undefined {
  if (value === undefined) return undefined
  const bytes = typeof value === 'string' ? parseByteSize(value) : value
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < MIN_EGRESS_BANDWIDTH) {
    throw wrong('bandwidth', `is ${BYTE_SIZE_FORM}, per second, at least ${MIN_EGRESS_BANDWIDTH}`)
  }
  return bytes
}

function readManifests(value: unknown, layout: PushSettings['layout']): readonly ManifestSettings[] {
  if (value === undefined || value === false) return []
  const list = Array.isArray(value) ? value : [value]
  if (list.length === 0 || list.length > MAX_MANIFESTS) throw wrong('manifest', `lists 1 to ${MAX_MANIFESTS} manifests`)
  const manifests = list.map((item) => readManifest(item, layout))
  const paths = manifests.map(({ path }) => path)
  const twice = paths.find((path, index) => paths.indexOf(path) !== index)
  if (twice !== undefined)
    throw wrong('manifest', `names ${JSON.stringify(twice)} twice: give each manifest its own path`)
  return manifests
}

function readManifest(value: unknown, layout: PushSettings['layout']): ManifestSettings {
  if (value === true) return { path: DEFAULT_MANIFEST }
  if (typeof value === 'string') return { path: readPath(value, layout) }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong('manifest', 'is true, a path, {"path": …, "glob": …}, or an array of these')
  }
  const unknown = Object.keys(value).find((name) => name !== 'path' && name !== 'glob')
  if (unknown !== undefined) throw wrong('manifest', `has path and glob, not ${JSON.stringify(unknown.slice(0, 60))}`)
  const { path = DEFAULT_MANIFEST, glob } = value as { path?: unknown; glob?: unknown }
  if (typeof path !== 'string') throw wrong('manifest.path', 'is a path below the target folder')
  if (glob === undefined) return { path: readPath(path, layout) }
  if (typeof glob !== 'string') throw wrong('manifest.glob', 'is a glob: "/orders/*"')
  try {
    parseManifestGlob(glob)
  } catch (error) {
    if (error instanceof InvalidInput) throw wrong('manifest.glob', `is no glob: ${error.message}`)
    throw error
  }
  return { path: readPath(path, layout), glob }
}

function readPath(path: string, layout: PushSettings['layout']): string {
  const shown = JSON.stringify(path.slice(0, 100))
  const segments = path.split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw wrong(
      'manifest',
      `${shown} is not a path below the target folder: write "manifest.json" or "manifests/orders.json"`,
    )
  }
  if (!path.isWellFormed() || /[\p{Cc}\\]/u.test(path) || Buffer.byteLength(path) > MAX_MANIFEST_PATH_BYTES) {
    throw wrong(
      'manifest',
      `${shown} can not be a name: at most ${MAX_MANIFEST_PATH_BYTES} bytes, without backslashes and control characters`,
    )
  }
  if (segments.at(-1) === SUCCESS_FILE)
    throw wrong('manifest', `${shown} is the mark that all is there, not a manifest`)
  if (layout === 'commit' && (path === LATEST_FILE || /^[0-9a-f]{32}$/.test(segments[0]!))) {
    throw wrong('manifest', `${shown} is taken by the layout "commit" itself`)
  }
  return path
}

function wrong(field: string, what: string): InvalidInput {
  return new InvalidInput(`egress.${field} ${what}`, { field: `egress.${field}` })
}
