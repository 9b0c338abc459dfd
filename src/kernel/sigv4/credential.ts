import { MAX_SIGNED_HEADERS } from '../limits.ts'
import { SignatureError, type SignatureErrorCode } from './errors.ts'
import { ALGORITHM, type Scope } from './signing-key.ts'

/** What a request says about its own signature, from the Authorization header or the query. */
export interface Claim {
  readonly accessKeyId: string
  readonly scope: Scope
  readonly signedHeaders: readonly string[]
  /** 64 lower-case hex digits. */
  readonly signature: string
}

const hexSignature = /^[0-9a-f]{64}$/
const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
const regionName = /^[A-Za-z0-9_-]{1,64}$/
/** The header has room for 64 KiB; a credential that long is none. */
const MAX_CREDENTIAL_LENGTH = 512

/** `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…` */
export function parseAuthorization(header: string): Claim {
  const malformed = (why: string) => fail('MalformedAuthorization', `the Authorization header is malformed: ${why}`)
  if (/^AWS\s/.test(header)) throw signatureVersion2()
  if (!header.startsWith(`${ALGORITHM} `)) {
    if (header.startsWith('AWS4-ECDSA-P256-SHA256')) throw unsupportedAlgorithm('AWS4-ECDSA-P256-SHA256')
    throw unsupportedAlgorithm(header.split(' ', 1)[0] ?? '')
  }
  const parts = new Map<string, string>()
  for (const piece of header.slice(ALGORITHM.length + 1).split(',')) {
    const text = piece.trim()
    const equals = text.indexOf('=')
    const name = equals < 0 ? text : text.slice(0, equals)
    if (parts.has(name)) throw malformed(`${name} is there twice`)
    parts.set(name, equals < 0 ? '' : text.slice(equals + 1))
  }
  const part = (name: string) => {
    const value = parts.get(name)
    if (value === undefined || value === '') throw malformed(`${name} is missing`)
    return value
  }
  if (parts.size > 3) throw malformed('it may hold Credential, SignedHeaders and Signature only')
  return readClaim(
    { credential: part('Credential'), signedHeaders: part('SignedHeaders'), signature: part('Signature') },
    malformed,
  )
}

export function readClaim(
  texts: { credential: string; signedHeaders: string; signature: string },
  malformed: (why: string) => SignatureError,
): Claim {
  if (texts.credential.length > MAX_CREDENTIAL_LENGTH) throw malformed('the Credential is too long')
  const pieces = texts.credential.split('/')
  const [terminal, service, region, date] = pieces.reverse()
  const accessKeyId = pieces.slice(4).reverse().join('/')
  if (!accessKeyId || terminal !== 'aws4_request') {
    throw malformed('the Credential must be <access key id>/<yyyymmdd>/<region>/s3/aws4_request')
  }
  if (service !== 's3') throw malformed(`the service of the Credential is "${service}", expecting "s3"`)
  if (!date || !/^\d{8}$/.test(date)) throw malformed('the date of the Credential must be yyyymmdd')
  if (!region || !regionName.test(region)) throw malformed('the region of the Credential is not a region name')
  if (!hexSignature.test(texts.signature)) throw malformed('the Signature must be 64 lower-case hex digits')
  return {
    accessKeyId,
    scope: { date, region, service },
    signedHeaders: readSignedHeaders(texts.signedHeaders, malformed),
    signature: texts.signature,
  }
}

function readSignedHeaders(text: string, malformed: (why: string) => SignatureError): readonly string[] {
  const names = text.split(';', MAX_SIGNED_HEADERS + 1)
  if (names.length > MAX_SIGNED_HEADERS) throw malformed(`SignedHeaders may name at most ${MAX_SIGNED_HEADERS}`)
  let before = ''
  for (const name of names) {
    if (!headerName.test(name)) throw malformed('SignedHeaders must be lower-case header names, separated by ;')
    if (name <= before) throw malformed('SignedHeaders must be sorted, each name once')
    before = name
  }
  if (!names.includes('host')) throw fail('HeadersNotSigned', 'the header host must be among the signed headers')
  return names
}

export function signatureVersion2(): SignatureError {
  return fail(
    'UnsupportedSignatureVersion',
    'Signature version 2 is not supported. Use AWS4-HMAC-SHA256: for the AWS CLI `aws configure set default.s3.signature_version s3v4`, ' +
      "for boto3 Config(signature_version='s3v4')",
  )
}

export function unsupportedAlgorithm(algorithm: string): SignatureError {
  return fail(
    'UnsupportedSignatureVersion',
    `The authorization mechanism ${JSON.stringify(algorithm.slice(0, 40))} is not supported. Use AWS4-HMAC-SHA256 (signature_version=s3v4)`,
  )
}

function fail(code: SignatureErrorCode, message: string): SignatureError {
  return new SignatureError(code, message)
}
