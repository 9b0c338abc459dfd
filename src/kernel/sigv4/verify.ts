import type { IncomingHttpHeaders } from 'node:http'
import type { AccessKey } from '../access/index.ts'
import { MAX_CLOCK_SKEW_MS, MAX_PRESIGN_SECONDS } from '../limits.ts'
import { canonicalHeaders, checkHeaders, refuseDuplicates } from './canonical.ts'
import { ChunkChain } from './chunk-chain.ts'
import { type Claim, parseAuthorization, readClaim, signatureVersion2, unsupportedAlgorithm } from './credential.ts'
import { formatIsoBasic, parseHttpDate, parseIsoBasic } from './dates.ts'
import { SignatureError, signaturesEqual } from './errors.ts'
import { ALGORITHM, requestSignature, signingKey } from './signing-key.ts'
import { canonicalQuery, parseRequestUrl, type RequestUrl } from './url.ts'

/** A request as it arrived, before anything was decoded. */
export interface SignedRequest {
  readonly method: string
  /** Node's `req.url`, untouched. */
  readonly rawUrl: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  /** `parseRequestUrl(rawUrl)`, where the caller has it already. */
  readonly url?: RequestUrl
}

/** What a signature is held against. */
export interface VerifyOptions {
  /** With the session token that came with it, if one did. */
  findKey(accessKeyId: string, sessionToken?: string): Promise<AccessKey | undefined>
  readonly nowMs: number
  /** The only region that is accepted; any if it is not set. */
  readonly region?: string | undefined
}

/**
 * What the signature says about the body. `sha256`: the body must have this hash, which is still to be checked. `unsigned`: nothing.
 * `chunked`: the body is framed as aws-chunked; with a `chain` each chunk (and trailer) carries a signature to check.
 */
export type PayloadKind =
  | { readonly kind: 'sha256'; readonly hex: string }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'chunked'; readonly trailer: boolean; readonly chain?: ChunkChain }

/** Who signed a request, and what that says about its body. */
export interface Verified {
  readonly key: AccessKey
  readonly payload: PayloadKind
  readonly presigned: boolean
}

/** The parameters of a presigned URL; all else in its query belongs to the operation. */
const presignParameters = [
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
  'X-Amz-Security-Token',
  'X-Amz-Content-Sha256',
] as const
type PresignParameter = (typeof presignParameters)[number]

const hexSha256 = /^[0-9a-f]{64}$/

/**
 * Verifies the SigV4 signature of a request in the header or in the query (presigned), for the service s3. It touches nothing but
 * `findKey`. Throws SignatureError; whatever it returns was signed by the key it names, except the body, which `payload` says how
 * to check.
 */
export async function verifyRequest(request: SignedRequest, options: VerifyOptions): Promise<Verified> {
  const url = request.url ?? parseRequestUrl(request.rawUrl)
  const presign = readPresign(url)
  const authorization = request.headers.authorization
  if (authorization !== undefined && presign !== undefined) {
    throw new SignatureError(
      'SeveralAuthentications',
      'only one way to authenticate is allowed: the Authorization header or the query, not both',
    )
  }
  if (authorization !== undefined) return verifyHeader(request, url, authorization, options)
  if (presign !== undefined) return verifyPresigned(request, url, presign, options)
  // It may be let in all the same, where something is shared with everybody.
  refuseDuplicates(request.rawHeaders)
  throw new SignatureError(
    'MissingAuthentication',
    'the request is not signed: without a key there is access only to what is public',
  )
}

async function verifyHeader(
  request: SignedRequest,
  url: RequestUrl,
  authorization: string,
  options: VerifyOptions,
): Promise<Verified> {
  const claim = parseAuthorization(authorization)
  checkHeaders(request.headers, request.rawHeaders, claim.signedHeaders)
  const { dateTime, signedMs } = readRequestDate(request.headers, claim.signedHeaders)
  if (!dateTime.startsWith(claim.scope.date)) {
    throw new SignatureError('MalformedAuthorization', 'the date of the request and the date of the Credential differ')
  }
  checkClock(signedMs, options)
  const contentSha256 = request.headers['x-amz-content-sha256']
  if (typeof contentSha256 !== 'string' || contentSha256 === '') {
    throw new SignatureError(
      'MissingPayloadHash',
      'the header x-amz-content-sha256 is missing: send the SHA-256 of the body in hex, or UNSIGNED-PAYLOAD',
    )
  }
  const { key, payload } = await check(request, url, { claim, dateTime, contentSha256, options, presigned: false })
  return { key, payload, presigned: false }
}

async function verifyPresigned(
  request: SignedRequest,
  url: RequestUrl,
  presign: ReadonlyMap<PresignParameter, string>,
  options: VerifyOptions,
): Promise<Verified> {
  const malformed = (why: string) =>
    new SignatureError('MalformedQueryAuthorization', `the query of the presigned URL is malformed: ${why}`)
  const part = (name: PresignParameter) => {
    const value = presign.get(name)
    if (value === undefined || value === '') throw malformed(`${name} is missing`)
    return value
  }
  if (part('X-Amz-Algorithm') !== ALGORITHM) throw unsupportedAlgorithm(part('X-Amz-Algorithm'))
  const claim = readClaim(
    {
      credential: part('X-Amz-Credential'),
      signedHeaders: part('X-Amz-SignedHeaders'),
      signature: part('X-Amz-Signature'),
    },
    malformed,
  )
  const expires = part('X-Amz-Expires')
  // One for no time at all, or less, has expired when it is made.
  if (!/^-?\d{1,9}$/.test(expires) || Number(expires) > MAX_PRESIGN_SECONDS) {
    throw malformed(`X-Amz-Expires must be a number of seconds from 1 to ${MAX_PRESIGN_SECONDS}`)
  }
  const dateTime = part('X-Amz-Date')
  const signedMs = parseIsoBasic(dateTime)
  if (signedMs === undefined) throw malformed('X-Amz-Date must be yyyymmddThhmmssZ')
  if (!dateTime.startsWith(claim.scope.date)) throw malformed('X-Amz-Date and the date of X-Amz-Credential differ')
  checkHeaders(request.headers, request.rawHeaders, claim.signedHeaders)
  if (signedMs > options.nowMs + MAX_CLOCK_SKEW_MS) {
    throw new SignatureError(
      'RequestNotYetValid',
      'the presigned URL is not valid yet: check the clocks',
      skewData(options, signedMs),
    )
  }
  if (Number(expires) < 1 || options.nowMs > signedMs + Number(expires) * 1000) {
    throw new SignatureError('RequestExpired', 'Request has expired', {
      expires: new Date(signedMs + Number(expires) * 1000).toISOString(),
      serverTime: new Date(options.nowMs).toISOString(),
    })
  }
  const header = request.headers['x-amz-content-sha256']
  const contentSha256 =
    presign.get('X-Amz-Content-Sha256') ?? (typeof header === 'string' ? header : 'UNSIGNED-PAYLOAD')
  const proof = { claim, dateTime, contentSha256, options, presigned: true, token: presign.get('X-Amz-Security-Token') }
  const { key, payload } = await check(request, url, proof)
  return { key, payload, presigned: true }
}

interface Proof {
  readonly claim: Claim
  readonly dateTime: string
  readonly contentSha256: string
  readonly options: VerifyOptions
  readonly presigned: boolean
  /** From the query. */
  readonly token?: string | undefined
}

async function check(
  request: SignedRequest,
  url: RequestUrl,
  proof: Proof,
): Promise<Pick<Verified, 'key' | 'payload'>> {
  const { claim, dateTime, contentSha256, options, presigned } = proof
  if (options.region !== undefined && claim.scope.region !== options.region) {
    throw new SignatureError(
      presigned ? 'MalformedQueryAuthorization' : 'MalformedAuthorization',
      `the region '${claim.scope.region}' is wrong; expecting '${options.region}'`,
      { region: options.region },
    )
  }
  const token = sessionToken(request.headers, proof.token)
  const key = await options.findKey(claim.accessKeyId, token)
  if (token !== undefined && key?.temporary === undefined) throw invalidToken()
  if (!key) {
    throw new SignatureError('UnknownAccessKey', 'The AWS access key id you provided does not exist in our records.', {
      accessKeyId: claim.accessKeyId,
    })
  }
  const derived = signingKey(claim.accessKeyId, key.secretAccessKey, claim.scope)
  const expected = requestSignature(
    derived.key,
    dateTime,
    claim.scope,
    `${request.method}\n${url.canonicalPath}\n${canonicalQuery(url.query, presigned ? 'X-Amz-Signature' : undefined)}\n` +
      `${canonicalHeaders(request.headers, request.rawHeaders, claim.signedHeaders)}\n${claim.signedHeaders.join(';')}\n${contentSha256}`,
  )
  if (!signaturesEqual(expected, claim.signature)) {
    throw new SignatureError(
      'SignatureMismatch',
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
      { accessKeyId: claim.accessKeyId },
    )
  }
  derived.remember()
  if (key.temporary !== undefined && options.nowMs >= key.temporary.expiresMs) {
    throw new SignatureError('ExpiredSecurityToken', 'The provided token has expired.', {
      expires: new Date(key.temporary.expiresMs).toISOString(),
    })
  }
  return {
    key,
    payload: readPayload(contentSha256, () => new ChunkChain(derived.key, dateTime, claim.scope, expected)),
  }
}

function readPayload(contentSha256: string, chain: () => ChunkChain): PayloadKind {
  switch (contentSha256) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'unsigned' }
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunked', trailer: true }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
      return { kind: 'chunked', trailer: false, chain: chain() }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return { kind: 'chunked', trailer: true, chain: chain() }
  }
  if (hexSha256.test(contentSha256)) return { kind: 'sha256', hex: contentSha256 }
  throw new SignatureError(
    'InvalidPayloadHash',
    'x-amz-content-sha256 must be the SHA-256 of the body in 64 lower-case hex digits, UNSIGNED-PAYLOAD, ' +
      'STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD or STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  )
}

/** The one time that is signed: `x-amz-date`, else `date`. */
function readRequestDate(
  headers: IncomingHttpHeaders,
  signedHeaders: readonly string[],
): { dateTime: string; signedMs: number } {
  const amzDate = headers['x-amz-date']
  const text = typeof amzDate === 'string' ? amzDate : (headers.date ?? '')
  const signedMs = parseIsoBasic(text) ?? (amzDate === undefined ? parseHttpDate(text) : undefined)
  if (signedMs === undefined) {
    throw new SignatureError(
      'MalformedAuthorization',
      'a valid x-amz-date (yyyymmddThhmmssZ) or Date header is required',
    )
  }
  if (amzDate === undefined && !signedHeaders.includes('date')) {
    throw new SignatureError('HeadersNotSigned', 'the header date must be among the signed headers, or x-amz-date sent')
  }
  return { dateTime: amzDate === undefined ? formatIsoBasic(signedMs) : text, signedMs }
}

function checkClock(signedMs: number, options: VerifyOptions): void {
  if (Math.abs(options.nowMs - signedMs) <= MAX_CLOCK_SKEW_MS) return
  throw new SignatureError(
    'RequestTimeSkewed',
    'The difference between the request time and the current time is too large.',
    skewData(options, signedMs),
  )
}

function skewData(options: VerifyOptions, signedMs: number): Record<string, unknown> {
  return {
    requestTime: formatIsoBasic(signedMs),
    serverTime: new Date(options.nowMs).toISOString(),
    maxSkewMs: MAX_CLOCK_SKEW_MS,
  }
}

/** The presign parameters of the query, or undefined if it holds none. */
function readPresign(url: RequestUrl): ReadonlyMap<PresignParameter, string> | undefined {
  if (url.query.length === 0) return undefined
  const found = new Map<PresignParameter, string>()
  let signature2 = false
  for (const [name, value] of url.query) {
    if (name === 'AWSAccessKeyId' || name === 'Signature') signature2 = true
    const parameter = presignParameters.find((known) => known === name)
    if (parameter === undefined) continue
    if (found.has(parameter)) {
      throw new SignatureError('MalformedQueryAuthorization', `${parameter} is there twice in the query`)
    }
    found.set(parameter, value)
  }
  if (found.size > 0) return found
  if (signature2) throw signatureVersion2()
  return undefined
}

/** From the header or the query; both would leave open which one counts. */
function sessionToken(headers: IncomingHttpHeaders, inQuery: string | undefined): string | undefined {
  const inHeader = headers['x-amz-security-token']
  if (inHeader === undefined) return inQuery
  if (inQuery !== undefined || typeof inHeader !== 'string') throw invalidToken()
  return inHeader
}

function invalidToken(): SignatureError {
  return new SignatureError(
    'InvalidSecurityToken',
    'The provided token is malformed or otherwise invalid. It goes with the temporary key that it was made with, and ends with the key that made it.',
  )
}
