import { timingSafeEqual } from 'node:crypto'
import { bodyDigest, CHUNK_BYTES, type DigestName, digestOnce } from '../../../kernel/index.ts'
import type { ContentStore } from '../../../versioning/index.ts'
import { algorithms, type ChecksumAlgorithm, type ChecksumClaim, fullObject, readChecksumValue } from '../checksums.ts'
import { S3Error } from '../codes.ts'
import type { ReceivedContent } from '../operation.ts'
import { AwsChunkedDecoder } from './decoder.ts'
import type { BodyPlan } from './plan.ts'
import type { RequestBody } from './source.ts'

type Digests = Pick<ReadonlyMap<DigestName, Buffer>, 'get'>
const noTrailers: ReadonlyMap<string, string> = new Map()

/**
 * Takes a body into the store and checks everything that the request says of it: signatures of its chunks, hash, checksum, MD5,
 * length. What does not hold leaves nothing behind. `checksum`: what to compute if the client sends none.
 */
export async function receiveContent(
  body: RequestBody,
  plan: BodyPlan,
  content: ContentStore,
  checksum?: ChecksumAlgorithm,
): Promise<ReceivedContent> {
  const size = plan.bytes
  if (size === undefined) throw new TypeError('an object needs a length')
  const algorithm = plan.checksum?.algorithm ?? checksum
  const names = digestNames(plan, ['md5'], algorithm)
  if (size <= CHUNK_BYTES) {
    const { bytes, trailers } = await collect(body, plan, size)
    const digests = digestMap(names, bytes)
    verifyDigests(plan, digests, trailers)
    const staged = await content.putBytes(bytes, digests.get('sha256'))
    return { staged, size, ...describeDigests(digests, algorithm) }
  }
  const digest = bodyDigest(names, { expectedBytes: size })
  const writer = content.writer({ expectedBytes: size })
  let digestEnded = false
  let writerEnded = false
  try {
    const decoder = plan.chunked ? new AwsChunkedDecoder(plan.chunked) : undefined
    let received = 0
    for await (const slice of body.slices()) {
      for (const piece of decoder ? decoder.push(slice) : [slice]) {
        received += piece.length
        await Promise.all([digest.update(piece), writer.write(piece)])
      }
    }
    if (received !== size) throw incompleteBody()
    const trailers = decoder ? decoder.end() : noTrailers
    digestEnded = true
    const digests = await digest.digest()
    verifyDigests(plan, digests, trailers)
    writerEnded = true
    const staged = await writer.finish()
    return { staged, size, ...describeDigests(digests, algorithm) }
  } catch (error) {
    if (!digestEnded) digest.abandon()
    if (!writerEnded) await writer.abort()
    throw error
  }
}

/** Takes a small document into memory, checked in the same way. Throws S3Error `tooLarge` past `maxBytes`. */
export async function receiveDocument(body: RequestBody, plan: BodyPlan, maxBytes: number): Promise<Buffer> {
  if (plan.bytes !== undefined && plan.bytes > maxBytes) throw documentTooLarge(maxBytes)
  const { bytes, trailers } = await collect(body, plan, maxBytes)
  const names = digestNames(plan, [], plan.checksum?.algorithm)
  verifyDigests(plan, digestMap(names, bytes), trailers)
  return bytes
}

async function collect(
  body: RequestBody,
  plan: BodyPlan,
  maxBytes: number,
): Promise<{ bytes: Buffer; trailers: ReadonlyMap<string, string> }> {
  const decoder = plan.chunked ? new AwsChunkedDecoder(plan.chunked) : undefined
  const pieces: Buffer[] = []
  let received = 0
  await body.consume((slice) => {
    if (!decoder) {
      received += slice.length
      pieces.push(slice)
    } else {
      for (const piece of decoder.push(slice)) {
        received += piece.length
        pieces.push(piece)
      }
    }
    if (received > maxBytes) throw plan.bytes === undefined ? documentTooLarge(maxBytes) : incompleteBody()
  })
  if (plan.bytes !== undefined && received !== plan.bytes) throw incompleteBody()
  const trailers = decoder ? decoder.end() : noTrailers
  return { bytes: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, received), trailers }
}

function digestNames(
  plan: BodyPlan,
  always: readonly DigestName[],
  algorithm: ChecksumAlgorithm | undefined,
): DigestName[] {
  const names = new Set(always)
  if (plan.md5) names.add('md5')
  if (plan.sha256) names.add('sha256')
  if (algorithm) names.add(algorithms[algorithm].digest)
  return [...names]
}

function digestMap(names: readonly DigestName[], bytes: Buffer): Digests {
  const digests = digestOnce(names, bytes)
  return { get: (name) => digests[name] }
}

function verifyDigests(plan: BodyPlan, digests: Digests, trailers: ReadonlyMap<string, string>): void {
  const { md5, sha256 } = plan
  if (sha256 && !equal(sha256, digests.get('sha256'))) {
    throw new S3Error(
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
      {
        ClientComputedContentSHA256: sha256.toString('hex'),
        S3ComputedContentSHA256: digests.get('sha256')?.toString('hex') ?? '',
      },
    )
  }
  if (md5 && !equal(md5, digests.get('md5'))) {
    throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.', {
      ExpectedDigest: md5.toString('base64'),
      CalculatedDigest: digests.get('md5')?.toString('base64') ?? '',
    })
  }
  if (plan.checksum) verifyChecksum(plan.checksum, digests, trailers)
}

function verifyChecksum(claim: ChecksumClaim, digests: Digests, trailers: ReadonlyMap<string, string>): void {
  const expected =
    claim.expected ?? (claim.trailer && readChecksumValue(claim.algorithm, trailers.get(claim.trailer) ?? ''))
  if (expected && equal(expected, digests.get(algorithms[claim.algorithm].digest))) return
  throw new S3Error('BadDigest', `The ${claim.algorithm} you specified did not match the calculated checksum.`)
}

function equal(expected: Buffer, computed: Buffer | undefined): boolean {
  return computed !== undefined && expected.length === computed.length && timingSafeEqual(expected, computed)
}

function describeDigests(
  digests: Digests,
  algorithm: ChecksumAlgorithm | undefined,
): Pick<ReceivedContent, 'md5' | 'checksum'> {
  const md5 = digests.get('md5')?.toString('hex') ?? ''
  const value = algorithm && digests.get(algorithms[algorithm].digest)
  return algorithm && value ? { md5, checksum: fullObject(algorithm, value) } : { md5 }
}

function incompleteBody(): S3Error {
  return new S3Error('IncompleteBody', 'The body does not have the length that was announced.')
}

function documentTooLarge(maxBytes: number): S3Error {
  return new S3Error('EntityTooLarge', `The document may be at most ${maxBytes} bytes.`, {
    MaxSizeAllowed: String(maxBytes),
  })
}
