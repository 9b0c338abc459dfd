import {
  parseTargetUrl,
  type S3Target,
  SecretNotFound,
  type SecretStore,
  StoreDenied,
  type TargetGuard,
} from '../cloud/index.ts'
import { errnoOf, InvalidInput } from '../kernel/index.ts'

/** What stands behind a spec's `egress`, and where its URL points. */
export interface CheckedEgress {
  readonly url: string
  readonly secret?: string
  readonly notes: readonly string[]
}

export interface CheckParts {
  readonly secrets: Pick<SecretStore, 'inspect'>
  readonly guard: TargetGuard
  /** Whether a push without a secret may use the host's own cloud identity. */
  readonly defaultCredentials: boolean
}

const fields = ['URL', 'secret']
/** Pachyderm's, which come later. */
const laterFields: Readonly<Record<string, string>> = {
  sql_database: 'tables as a target come in a later release',
  object_storage: 'write egress.URL instead',
}

/** Reads a spec's `egress` field. Throws InvalidInput that says what is wrong and what to do. */
export async function checkEgress(egress: unknown, parts: CheckParts): Promise<CheckedEgress> {
  const { url, secret } = readFields(egress)
  const hint = secret === undefined ? {} : await endpointOf(secret, parts)
  const target = resolveTarget(url, hint)
  if (secret === undefined && !parts.defaultCredentials) {
    throw new InvalidInput(
      'egress.secret is missing: name the credentials for the target (sluice secret create NAME --access-key … --secret-key …), or start Sluice with SLUICE_EGRESS_DEFAULT_CREDENTIALS=on to push with the identity of its host',
      { field: 'egress.secret' },
    )
  }
  const notes = [`egress goes to ${describeTarget(target)}`, ...(await reachability(target, parts.guard))]
  return { url: target.url, ...(secret === undefined ? {} : { secret }), notes }
}

/** The one place that a URL (with the endpoint of its secret) means. Throws InvalidInput, also for what comes later. */
export function resolveTarget(url: string, hint: { endpoint?: string }): S3Target {
  const target = parseTargetUrl(url, hint)
  if (target.kind === 's3') return target
  throw new InvalidInput(
    `egress.URL ${target.url}: ${target.service} as a target comes in a later release; s3:// works now`,
    {
      field: 'egress.URL',
    },
  )
}

function hostAndPort(endpoint: string): { host: string; port: number } {
  const match = /^(https?):\/\/(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(endpoint)!
  return { host: match[2]!, port: Number(match[3] ?? (match[1] === 'http' ? 80 : 443)) }
}

function readFields(egress: unknown): { url: string; secret: string | undefined } {
  if (typeof egress !== 'object' || egress === null || Array.isArray(egress)) {
    throw new InvalidInput('egress is an object: {"URL": "s3://bucket/folder", "secret": "NAME"}', { field: 'egress' })
  }
  for (const field of Object.keys(egress)) {
    if (fields.includes(field)) continue
    const later = Object.hasOwn(laterFields, field) ? laterFields[field] : undefined
    throw new InvalidInput(
      later
        ? `egress.${field}: ${later}`
        : `egress.${field.slice(0, 60)} is not known; did you mean egress.${nearest(field, fields)}?`,
      { field: `egress.${field.slice(0, 60)}` },
    )
  }
  const { URL: url, secret } = egress as { URL?: unknown; secret?: unknown }
  if (typeof url !== 'string') {
    throw new InvalidInput('egress.URL is missing: write s3://bucket/folder or s3://endpoint/bucket/folder', {
      field: 'egress.URL',
    })
  }
  if (secret !== undefined && (typeof secret !== 'string' || secret === '')) {
    throw new InvalidInput('egress.secret is the name of a secret', { field: 'egress.secret' })
  }
  return { url, secret }
}

async function endpointOf(secret: string, { secrets }: CheckParts): Promise<{ endpoint?: string }> {
  try {
    const { endpoint } = await secrets.inspect(secret)
    return endpoint === undefined ? {} : { endpoint }
  } catch (error) {
    if (!(error instanceof SecretNotFound)) throw error
    throw new InvalidInput(
      `egress.secret: there is no secret ${JSON.stringify(secret.slice(0, 63))}: sluice secret create ${/^[\w.-]{1,63}$/.test(secret) ? secret : 'NAME'} --access-key … --secret-key …`,
      { field: 'egress.secret' },
      error,
    )
  }
}

function describeTarget({ url, endpoint, bucket, folder }: S3Target): string {
  const place = `bucket ${bucket}${folder === '' ? '' : `, folder ${folder}`}`
  return `${url} (${endpoint === undefined ? 'Amazon S3' : `endpoint ${endpoint}`}, ${place})`
}

/** Refuses targets that are closed; one that does not resolve now may do so later. */
async function reachability({ endpoint }: S3Target, guard: TargetGuard): Promise<readonly string[]> {
  if (endpoint === undefined) return []
  const { host, port } = hostAndPort(endpoint)
  try {
    await guard.check(host, port)
    return []
  } catch (error) {
    if (error instanceof StoreDenied)
      throw new InvalidInput(`egress.URL: ${error.message}`, { field: 'egress.URL' }, error)
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return [`${host} does not resolve now (${errno}): pushes fail until it does`]
  }
}

/** The candidate with the fewest edits to get there, whatever the case. */
function nearest(word: string, candidates: readonly string[]): string {
  const scored = candidates.map((candidate) => ({
    candidate,
    edits: edits(word.slice(0, 60).toLowerCase(), candidate.toLowerCase()),
  }))
  return scored.reduce((best, next) => (next.edits < best.edits ? next : best)).candidate
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
