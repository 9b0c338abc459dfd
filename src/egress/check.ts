import {
  expiryOf,
  hintOf,
  hostAndPort,
  isLoopbackName,
  kindOfUrl,
  parseTargetUrl,
  type SecretInfo,
  SecretNotFound,
  type SecretStore,
  StoreDenied,
  type Target,
  type TargetGuard,
} from '../cloud/index.ts'
import { type Clock, errnoOf, InvalidInput } from '../kernel/index.ts'
import { type PushSettings, parseSettings, SETTING_FIELDS } from './settings.ts'

/** What stands behind a spec's `egress`: where its URL points, and how it is filled. */
export interface CheckedEgress {
  /** Normal form. */
  readonly url: string
  readonly secret?: string
  readonly settings: PushSettings
  /** What its author should know, a sentence each; the first is where it goes. */
  readonly notes: readonly string[]
}

export interface CheckParts {
  readonly secrets: Pick<SecretStore, 'inspect'>
  readonly guard: TargetGuard
  readonly clock: Clock
  /** Whether a push without a secret may use the host's own cloud identity. */
  readonly defaultCredentials: boolean
}

const fields = ['URL', 'object_storage', 'secret', ...SETTING_FIELDS]

/** Reads a spec's `egress` field. Throws InvalidInput that says what is wrong and what to do. */
export async function checkEgress(egress: unknown, parts: CheckParts): Promise<CheckedEgress> {
  const { url, secret, others, notes } = readFields(egress)
  const info = secret === undefined ? undefined : await inspect(secret, url, parts)
  const target = parseTargetUrl(url, info && hintOf(info))
  if (info === undefined) refuseNoSecret(target, parts.defaultCredentials)
  const settings = parseSettings(others, target)
  return {
    url: target.url,
    ...(secret === undefined ? {} : { secret }),
    settings,
    notes: [
      `egress goes to ${describeTarget(target)}`,
      ...notes,
      ...notesOn(target, url, settings),
      ...secretNotes(info, parts.clock),
      ...(await reachability(target, parts.guard)),
    ],
  }
}

/** How the credentials of each kind of target are made a secret. */
const howTo: Readonly<Record<Target['kind'], string>> = {
  s3: '--access-key …',
  gcs: '--service-account FILE',
  azure: '--account …',
}

/** Throws InvalidInput where a push without a secret is not possible. */
export function refuseNoSecret({ kind }: Target, defaultCredentials: boolean): void {
  if (defaultCredentials && kind !== 'azure') return
  const make = `name the credentials for the target (sluice secret create NAME ${howTo[kind]})`
  const otherwise =
    kind === 'azure'
      ? 'the identity of the host does not reach Azure'
      : 'or start Sluice with SLUICE_EGRESS_DEFAULT_CREDENTIALS=on to push with the identity of its host'
  throw new InvalidInput(`egress.secret is missing: ${make}${kind === 'azure' ? '; ' : ', '}${otherwise}`, {
    field: 'egress.secret',
  })
}

interface Fields {
  readonly url: string
  readonly secret: string | undefined
  /** Those of SETTING_FIELDS. */
  readonly others: Readonly<Record<string, unknown>>
  readonly notes: readonly string[]
}

function readFields(egress: unknown): Fields {
  if (typeof egress !== 'object' || egress === null || Array.isArray(egress)) {
    throw wrong('egress is an object: {"URL": "s3://bucket/folder", "secret": "NAME"}', 'egress')
  }
  for (const field of Object.keys(egress)) {
    if (fields.includes(field)) continue
    const shown = `egress.${field.slice(0, 60)}`
    if (field === 'sql_database') throw wrong(`${shown}: tables as a target come in a later release`, shown)
    const near = nearest(field, fields)
    const instead = near === undefined ? `egress has ${fields.join(', ')}` : `did you mean egress.${near}?`
    throw wrong(`${shown} is not known; ${instead}`, shown)
  }
  const { URL: url, object_storage, secret, ...others } = egress as Readonly<Record<string, unknown>>
  if (secret !== undefined && (typeof secret !== 'string' || secret === '')) {
    throw wrong('egress.secret is the name of a secret', 'egress.secret')
  }
  if (object_storage !== undefined && object_storage !== null) {
    if (url !== undefined) throw wrong('egress has both URL and object_storage: write one of them', 'egress.URL')
    const note = 'egress.object_storage.url is read as egress.URL'
    return { url: readObjectStorage(object_storage), secret, others, notes: [note] }
  }
  if (typeof url !== 'string') {
    throw wrong(
      `egress.URL is ${url === undefined ? 'missing' : 'not a string'}: write s3://bucket/folder, s3://endpoint/bucket/folder, gs://bucket/folder or wasbs://container@account/folder`,
      'egress.URL',
    )
  }
  return { url, secret, others, notes: [] }
}

/** As Pachyderm 2 writes it: an object with a `url`, beside which stands all that is ours. */
function readObjectStorage(value: unknown): string {
  const field = 'egress.object_storage'
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(`${field} is an object: {"url": "s3://bucket/folder"}`, field)
  }
  const other = Object.keys(value).find((name) => name !== 'url')
  if (other !== undefined) {
    const shown = `${field}.${other.slice(0, 60)}`
    const where =
      fields.includes(other) && other !== 'URL' ? `write it beside object_storage: egress.${other}` : undefined
    throw wrong(`${shown} is not known: ${where ?? 'object_storage has url and nothing else'}`, shown)
  }
  const { url } = value as { url?: unknown }
  if (typeof url !== 'string') throw wrong(`${field}.url is missing: write s3://bucket/folder`, `${field}.url`)
  return url
}

function wrong(message: string, field: string, cause?: unknown): InvalidInput {
  return new InvalidInput(message, { field }, cause)
}

async function inspect(secret: string, url: string, { secrets }: CheckParts): Promise<SecretInfo> {
  try {
    return await secrets.inspect(secret)
  } catch (error) {
    if (!(error instanceof SecretNotFound)) throw error
    const name = /^[\w.-]{1,63}$/.test(secret) ? secret : 'NAME'
    throw new InvalidInput(
      `egress.secret: there is no secret ${JSON.stringify(secret.slice(0, 63))}: sluice secret create ${name} ${howTo[kindOfUrl(url) ?? 's3']}`,
      { field: 'egress.secret' },
      error,
    )
  }
}

function describeTarget(target: Target): string {
  const { url, endpoint, bucket, folder } = target
  const below = folder === '' ? '' : `, folder ${folder}`
  switch (target.kind) {
    case 's3':
      return `${url} (${endpoint === undefined ? 'Amazon S3' : `endpoint ${endpoint}`}, bucket ${bucket}${below})`
    case 'gcs': {
      const at = endpoint === undefined ? '' : ` at ${endpoint}`
      return `${url} (Google Cloud Storage${at}, bucket ${bucket}${below})`
    }
    case 'azure':
      return `${url} (Azure Blob Storage at ${endpoint}, account ${target.account}, container ${bucket}${below})`
  }
}

function notesOn(target: Target, written: string, settings: PushSettings): readonly string[] {
  const notes: string[] = []
  if (/^(?:wasb|abfs):/i.test(written) && target.kind === 'azure' && target.endpoint.startsWith('https:')) {
    notes.push('wasb:// and abfs:// are reached by https all the same')
  }
  if (target.endpoint?.startsWith('http:') && !isLoopbackName(hostAndPort(target.endpoint).host)) {
    const alsoRead = target.kind === 's3' ? 'files' : 'files, and what signs the requests,'
    notes.push(`${target.endpoint} is not encrypted: ${alsoRead} can be read on their way`)
  }
  if (settings.manifests.length > 0 && target.endpoint !== undefined) {
    notes.push(`egress.manifest: Redshift reads from Amazon S3 only, not from ${target.endpoint}`)
  }
  return notes
}

function secretNotes(info: SecretInfo | undefined, clock: Clock): readonly string[] {
  const expiry = info && expiryOf(info, clock.now())
  return expiry ? [expiry.text] : []
}

/** Somebody waits for the answer, and a name server that does not answer is no fault of the spec's. */
const RESOLVE_TIMEOUT_MS = 5_000

/** Refuses targets that are closed; one that does not resolve now may do so later, and then every connection is checked again. */
async function reachability({ endpoint }: Target, guard: TargetGuard): Promise<readonly string[]> {
  if (endpoint === undefined) return []
  const { host, port } = hostAndPort(endpoint)
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, RESOLVE_TIMEOUT_MS, 'the name server does not answer')
  })
  try {
    const why = await Promise.race([guard.check(host, port), timeout])
    return why === undefined ? [] : [doesNotResolve(host, why)]
  } catch (error) {
    if (error instanceof StoreDenied) throw wrong(`egress.URL: ${error.message}`, 'egress.URL', error)
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return [doesNotResolve(host, errno)]
  } finally {
    clearTimeout(timer)
  }
}

function doesNotResolve(host: string, why: string): string {
  return `${host} does not resolve now (${why}): pushes fail until it does`
}

/** More than a typing error. */
const MAX_EDITS = 2

/** The candidate with the fewest edits to get there, whatever the case; undefined where that is another word. */
function nearest(word: string, candidates: readonly string[]): string | undefined {
  const scored = candidates.map((candidate) => ({
    candidate,
    edits: edits(word.slice(0, 60).toLowerCase(), candidate.toLowerCase()),
  }))
  const best = scored.reduce((one, next) => (next.edits < one.edits ? next : one))
  return best.edits <= MAX_EDITS ? best.candidate : undefined
}

/** Levenshtein's distance. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}
