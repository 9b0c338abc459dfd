import { KIB } from '../../kernel/index.ts'
import type { CrossOriginRule } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import type { ReplyHeaders } from './operation.ts'
import { document, leaf, node } from './xml.ts'
import { malformed, readXml, type XmlElement } from './xml-read.ts'

/** AWS: "a CORS configuration … up to 100 rules", "limited to 64 KB in size". */
const MAX_RULES = 100
export const CORS_DOCUMENT_BYTES = 64 * KIB
const MAX_ID_CHARACTERS = 255

const methods: readonly string[] = ['GET', 'PUT', 'HEAD', 'POST', 'DELETE']

/** What a page in a browser asks for. */
export interface CrossOriginRequest {
  readonly origin: string
  readonly method: string
  /** Lower-case names. */
  readonly headers: readonly string[]
}

/** A `CORSConfiguration`. Throws MalformedXML, InvalidRequest. */
export function readCorsConfiguration(bytes: Buffer): readonly CrossOriginRule[] {
  const rules = readXml(bytes, 'CORSConfiguration').children('CORSRule').map(readRule)
  if (rules.length === 0) throw malformed('it has no CORSRule')
  if (rules.length > MAX_RULES) throw malformed(`it may have at most ${MAX_RULES} rules`)
  return rules
}

function readRule(element: XmlElement): CrossOriginRule {
  const all = (name: string) => element.children(name).map((child) => child.text.trim())
  const origins = all('AllowedOrigin')
  const allowed = all('AllowedMethod')
  const headers = all('AllowedHeader')
  const exposed = all('ExposeHeader')
  if (origins.length === 0 || allowed.length === 0) throw malformed('a CORSRule needs AllowedOrigin and AllowedMethod')
  for (const method of allowed) {
    if (methods.includes(method)) continue
    throw new S3Error(
      'InvalidRequest',
      `Found unsupported HTTP method in CORS config. Unsupported method is ${method.slice(0, 100)}`,
    )
  }
  for (const [name, values] of [
    ['AllowedOrigin', origins],
    ['AllowedHeader', headers],
  ] as const) {
    for (const value of values) {
      if (value.split('*').length <= 2) continue
      throw new S3Error('InvalidRequest', `${name} "${value.slice(0, 200)}" can not have more than one wildcard.`)
    }
  }
  for (const value of exposed) {
    if (value.includes('*')) {
      const message = `ExposeHeader "${value.slice(0, 200)}" contains wildcard. We currently do not support wildcard for ExposeHeader.`
      throw new S3Error('InvalidRequest', message)
    }
  }
  // They are sent as headers; a token is all that a header's name may be.
  for (const value of [...headers, ...exposed]) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value)) throw malformed('a header that can not be one')
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (origins.some((origin) => origin === '' || /[\x00-\x20\x7f]/.test(origin))) throw malformed('an AllowedOrigin')
  const id = element.child('ID')?.text.trim()
  if (id !== undefined && id.length > MAX_ID_CHARACTERS) throw malformed('an ID that is too long')
  const maxAge = element.child('MaxAgeSeconds')?.text.trim()
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) throw malformed('MaxAgeSeconds must be a number')
  return {
    ...(id ? { id } : {}),
    origins,
    methods: allowed,
    headers,
    exposed,
    ...(maxAge === undefined ? {} : { maxAgeSeconds: Number(maxAge) }),
  }
}

export function corsDocument(rules: readonly CrossOriginRule[]): string {
  return document(
    'CORSConfiguration',
    ...rules.map((rule) =>
      node(
        'CORSRule',
        leaf('ID', rule.id),
        ...rule.origins.map((origin) => leaf('AllowedOrigin', origin)),
        ...rule.methods.map((method) => leaf('AllowedMethod', method)),
        ...rule.headers.map((header) => leaf('AllowedHeader', header)),
        ...rule.exposed.map((header) => leaf('ExposeHeader', header)),
        leaf('MaxAgeSeconds', rule.maxAgeSeconds),
      ),
    ),
  )
}

/** What an answer says to the browser: of the first rule that allows all of it. Undefined if none does. */
export function crossOriginHeaders(
  rules: readonly CrossOriginRule[],
  request: CrossOriginRequest,
): ReplyHeaders | undefined {
  for (const rule of rules) {
    const origin = rule.origins.find((pattern) => matches(pattern, request.origin))
    if (origin === undefined || !rule.methods.includes(request.method)) continue
    const allows = (header: string) => rule.headers.some((pattern) => matches(pattern.toLowerCase(), header))
    if (!request.headers.every(allows)) continue
    const everybody = origin === '*'
    return {
      'Access-Control-Allow-Origin': everybody ? '*' : request.origin,
      'Access-Control-Allow-Methods': rule.methods.join(', '),
      ...(request.headers.length > 0 ? { 'Access-Control-Allow-Headers': request.headers.join(', ') } : {}),
      ...(rule.exposed.length > 0 ? { 'Access-Control-Expose-Headers': rule.exposed.join(', ') } : {}),
      ...(rule.maxAgeSeconds === undefined ? {} : { 'Access-Control-Max-Age': rule.maxAgeSeconds }),
      ...(everybody ? {} : { 'Access-Control-Allow-Credentials': 'true' }),
      Vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
    }
  }
  return undefined
}

/** A pattern has at most one `*`, for any characters or none. */
function matches(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === text
  const [start, end] = [pattern.slice(0, star), pattern.slice(star + 1)]
  return text.length >= start.length + end.length && text.startsWith(start) && text.endsWith(end)
}
