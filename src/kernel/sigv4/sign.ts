import { canonicalValue } from './canonical.ts'
import { formatIsoBasic } from './dates.ts'
import { ALGORITHM, requestSignature, type Scope, scopeText, signingKey } from './signing-key.ts'
import { canonicalQuery, encodeRfc3986, parseRequestUrl } from './url.ts'

/** A request that is to be signed. */
export interface SignInput {
  readonly method: string
  /** Absolute; its path and query are sent as they stand here. */
  readonly url: string
  /** Sent along and signed; lower-case or not. */
  readonly headers: Readonly<Record<string, string>>
  /** Hex SHA-256 of the body, `UNSIGNED-PAYLOAD`, or one of the STREAMING- modes. */
  readonly bodySha256: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined
  readonly region: string
  readonly service: 's3'
  readonly now: Date
}

/**
 * Signs a request by SigV4 in its headers. Returns all headers to send, with lower-case names: the given ones, `host`,
 * `x-amz-date`, `x-amz-content-sha256` and `authorization`.
 */
export function signRequest(input: SignInput): Record<string, string> {
  const { host, target } = splitUrl(input.url)
  const dateTime = formatIsoBasic(input.now.getTime())
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(input.headers)) headers[name.toLowerCase()] = value
  headers['host'] ??= host
  headers['x-amz-date'] = dateTime
  headers['x-amz-content-sha256'] = input.bodySha256
  if (input.sessionToken !== undefined) headers['x-amz-security-token'] = input.sessionToken
  const names = Object.keys(headers).sort()
  const scope: Scope = { date: dateTime.slice(0, 8), region: input.region, service: input.service }
  const url = parseRequestUrl(target)
  const canonical = `${input.method}\n${url.canonicalPath}\n${canonicalQuery(url.query)}\n${names
    .map((name) => `${name}:${canonicalValue(headers[name]!)}\n`)
    .join('')}\n${names.join(';')}\n${input.bodySha256}`
  const derived = signingKey(input.accessKeyId, input.secretAccessKey, scope)
  derived.remember()
  const signature = requestSignature(derived.key, dateTime, scope, canonical)
  headers['authorization'] =
    `${ALGORITHM} Credential=${input.accessKeyId}/${scopeText(scope)}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return headers
}

/** A URL that may be used without further headers until `expiresSeconds` have passed. Whatever body is sent with it is accepted. */
export function presignUrl(
  input: Pick<
    SignInput,
    'method' | 'url' | 'accessKeyId' | 'secretAccessKey' | 'sessionToken' | 'region' | 'service' | 'now'
  > & {
    readonly expiresSeconds: number
  },
): string {
  const { origin, host, target } = splitUrl(input.url)
  const dateTime = formatIsoBasic(input.now.getTime())
  const scope: Scope = { date: dateTime.slice(0, 8), region: input.region, service: input.service }
  const parameters: [string, string][] = [
    ['X-Amz-Algorithm', ALGORITHM],
    ['X-Amz-Credential', `${input.accessKeyId}/${scopeText(scope)}`],
    ['X-Amz-Date', dateTime],
    ['X-Amz-Expires', String(input.expiresSeconds)],
    ['X-Amz-SignedHeaders', 'host'],
  ]
  if (input.sessionToken !== undefined) parameters.push(['X-Amz-Security-Token', input.sessionToken])
  const query = parameters.map(([name, value]) => `${name}=${encodeRfc3986(value)}`).join('&')
  const unsigned = `${target}${target.includes('?') ? '&' : '?'}${query}`
  const url = parseRequestUrl(unsigned)
  const canonical = `${input.method}\n${url.canonicalPath}\n${canonicalQuery(url.query)}\nhost:${host}\n\nhost\nUNSIGNED-PAYLOAD`
  const { key } = signingKey(input.accessKeyId, input.secretAccessKey, scope)
  return `${origin}${unsigned}&X-Amz-Signature=${requestSignature(key, dateTime, scope, canonical)}`
}

/** Not by `new URL()`: it would change what is signed (`//`, `%2F`, `..`). */
function splitUrl(url: string): { origin: string; host: string; target: string } {
  const match = /^(https?:\/\/)([^/?#]+)([^#]*)$/.exec(url)
  if (!match) throw new TypeError('the URL to sign must begin with http:// or https:// and name a host')
  const [, scheme, authority, rest] = match
  // HTTP clients leave the default port out of the Host header.
  const host = authority!.replace(scheme === 'http://' ? /:80$/ : /:443$/, '')
  const target = rest === '' || rest?.startsWith('?') ? `/${rest}` : rest!
  return { origin: `${scheme}${authority}`, host, target }
}
