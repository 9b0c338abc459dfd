import type { DigestName } from '../../kernel/index.ts'
import type { ChecksumAlgorithm as Algorithm, Checksum } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import type { RequestHeaders } from './request.ts'

export type ChecksumAlgorithm = Algorithm

interface AlgorithmFacts {
  readonly digest: DigestName
  readonly header: string
  readonly element: string
  readonly bytes: number
  readonly types: readonly Checksum['type'][]
}

/** AWS: "Checking object integrity": which types an algorithm allows for a multipart object; the first is the default. */
export const algorithms: Readonly<Record<ChecksumAlgorithm, AlgorithmFacts>> = {
  CRC32: facts('crc32', 4, ['COMPOSITE', 'FULL_OBJECT']),
  CRC32C: facts('crc32c', 4, ['COMPOSITE', 'FULL_OBJECT']),
  CRC64NVME: facts('crc64nvme', 8, ['FULL_OBJECT']),
  SHA1: facts('sha1', 20, ['COMPOSITE']),
  SHA256: facts('sha256', 32, ['COMPOSITE']),
}
/** AWS: what an object gets whose writer sends no checksum; of a multipart object it is that of the whole. */
export const DEFAULT_CHECKSUM: ChecksumAlgorithm = 'CRC64NVME'

export const algorithmNames = Object.keys(algorithms) as readonly ChecksumAlgorithm[]
const algorithmOfHeader = new Map(algorithmNames.map((name) => [algorithms[name].header, name]))

/** Algorithms that AWS has besides; refused by name rather than left unchecked. */
const laterAlgorithms = ['sha512', 'md5', 'xxhash64', 'xxhash3', 'xxhash128']

function facts(digest: DigestName, bytes: number, types: readonly Checksum['type'][]): AlgorithmFacts {
  return { digest, header: `x-amz-checksum-${digest}`, element: `Checksum${digest.toUpperCase()}`, bytes, types }
}

/** What a request says about the checksum of its body. */
export interface ChecksumClaim {
  readonly algorithm: ChecksumAlgorithm
  /** From the header; undefined if it comes as a trailer. */
  readonly expected?: Buffer
  readonly trailer?: string
}

/**
 * The checksum that the request's headers or its announced trailer name; undefined if there is none. Throws InvalidRequest for
 * several, and for an announced algorithm without a value; BadDigest for one of a wrong length.
 */
export function readChecksumClaim(headers: RequestHeaders): ChecksumClaim | undefined {
  let claim: ChecksumClaim | undefined
  const add = (next: ChecksumClaim) => {
    if (claim)
      throw new S3Error(
        'InvalidRequest',
        'Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.',
      )
    claim = next
  }
  for (const name in headers) {
    if (!name.startsWith('x-amz-checksum-')) continue
    const algorithm = algorithmOfHeader.get(name)
    if (algorithm) add({ algorithm, expected: readChecksumValue(algorithm, headers[name] ?? '') })
    else refuseLater(name.slice('x-amz-checksum-'.length))
  }
  for (const trailer of readTrailerNames(headers)) {
    const algorithm = algorithmOfHeader.get(trailer)
    if (algorithm) add({ algorithm, trailer })
    else if (trailer.startsWith('x-amz-checksum-')) refuseLater(trailer.slice('x-amz-checksum-'.length))
  }
  const announced = headers['x-amz-sdk-checksum-algorithm']
  if (announced !== undefined && readAlgorithm(announced, 'x-amz-sdk-checksum-algorithm') && claim === undefined) {
    throw new S3Error(
      'InvalidRequest',
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  }
  return claim
}

export function readTrailerNames(headers: RequestHeaders): readonly string[] {
  const text = headers['x-amz-trailer']
  if (text === undefined) return []
  return text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

/** The bytes of a checksum in base64. Throws BadDigest if they are not as many as the algorithm makes: it is nobody's checksum. */
export function readChecksumValue(algorithm: ChecksumAlgorithm, text: string): Buffer {
  const value = Buffer.from(text, 'base64')
  if (value.length !== algorithms[algorithm].bytes || value.toString('base64') !== text) {
    const message = `The ${algorithm} you specified did not match the calculated checksum: it is not the base64 of ${algorithms[algorithm].bytes} bytes.`
    throw new S3Error('BadDigest', message)
  }
  return value
}

export function readAlgorithm(text: string, source: string): ChecksumAlgorithm {
  const name = text.toUpperCase()
  const found = algorithmNames.find((known) => known === name)
  if (!found) {
    refuseLater(text.toLowerCase())
    throw new S3Error(
      'InvalidRequest',
      `Checksum algorithm provided in ${source} is unsupported: use ${algorithmNames.join(', ')}`,
    )
  }
  return found
}

function refuseLater(name: string): void {
  if (!laterAlgorithms.includes(name)) return
  throw new S3Error(
    'NotImplemented',
    `The checksum algorithm ${name} is not implemented: use ${algorithmNames.join(', ')}`,
  )
}

export function fullObject(algorithm: ChecksumAlgorithm, value: Buffer): Checksum {
  return { algorithm, type: 'FULL_OBJECT', value: value.toString('base64') }
}

/** The headers that say an object's checksum. */
export function checksumHeaders(checksum: Checksum | undefined): Record<string, string> {
  if (!checksum) return {}
  return { [algorithms[checksum.algorithm].header]: checksum.value, 'x-amz-checksum-type': checksum.type }
}
