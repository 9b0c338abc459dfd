import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { bodyDigest, CHUNK_BYTES, DomainError, digestOnce, GIB, InvalidInput, MAX_PUT_BYTES } from '../kernel/index.ts'
import type { StagedContent, Versioning } from '../versioning/index.ts'
import type { IncomingContent } from './route.ts'

/** A client that sends nothing for so long is gone, or means to hold the connection. */
const BODY_IDLE_MS = 60_000

/** The body is not the one that was signed. */
export class BodyMismatch extends DomainError {
  readonly code = 'BodyMismatch'
  constructor() {
    super('the body is not the one that the signature covers (x-amz-content-sha256): it was changed or cut on its way')
  }
}

export class BodyTooLarge extends DomainError {
  readonly code = 'BodyTooLarge'
}

/** The connection ended, or went silent, before the body did. */
export class BodyCutOff extends DomainError {
  readonly code = 'BodyCutOff'
}

/** The pieces of a body as they come. Leaving the loop early leaves the connection usable for the answer. */
export async function* arriving(request: IncomingMessage): AsyncGenerator<Buffer> {
  let silent = false
  request.setTimeout(BODY_IDLE_MS, () => {
    silent = true
    request.destroy()
  })
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false })) yield piece as Buffer
  } catch (cause) {
    const why = silent ? `nothing came for ${BODY_IDLE_MS / 1000} s` : 'the connection was closed'
    throw new BodyCutOff(`the body ended early: ${why}`, {}, cause)
  } finally {
    request.setTimeout(0)
  }
}

/** Reads a body of at most `limit` bytes and compares it with the signed hash (`undefined`: it was not signed). */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  signedSha256: string | undefined,
): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > limit) throw tooLarge(limit)
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of arriving(request)) {
    size += piece.length
    if (size > limit) throw tooLarge(limit)
    pieces.push(piece)
  }
  const body = Buffer.concat(pieces, size)
  if (signedSha256 !== undefined && hash('sha256', body, 'hex') !== signedSha256) throw new BodyMismatch()
  return body
}

export function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw new InvalidInput('the body is empty: this request needs a JSON document')
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : 'it is not UTF-8'
    throw new InvalidInput(`the body is not JSON: ${why}`, {}, cause)
  }
}

export interface ReceivedContent {
  readonly staged: StagedContent
  /** Hex. */
  readonly md5: string
}

/** Takes the content of a file in constant memory. Nothing refers to it until the caller hands it to a change. */
export async function receiveContent(content: IncomingContent, versioning: Versioning): Promise<ReceivedContent> {
  const { expectedBytes } = content
  if (expectedBytes !== undefined && expectedBytes > MAX_PUT_BYTES) throw tooLargeFile()
  return expectedBytes !== undefined && expectedBytes <= CHUNK_BYTES
    ? receiveSmall(content, versioning)
    : receiveLarge(content, versioning)
}

async function receiveSmall(content: IncomingContent, versioning: Versioning): Promise<ReceivedContent> {
  const pieces: Buffer[] = []
  for await (const piece of content.stream) pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  const { md5, sha256 } = digestOnce(['md5', 'sha256'], bytes)
  verify(content, sha256)
  return { staged: await versioning.content.putBytes(bytes, sha256), md5: md5.toString('hex') }
}

async function receiveLarge(content: IncomingContent, versioning: Versioning): Promise<ReceivedContent> {
  const options = content.expectedBytes === undefined ? {} : { expectedBytes: content.expectedBytes }
  const writer = versioning.content.writer(options)
  const digest = bodyDigest(['md5', 'sha256'], options)
  try {
    let size = 0
    for await (const piece of content.stream) {
      size += piece.length
      if (size > MAX_PUT_BYTES) throw tooLargeFile()
      await digest.update(piece)
      await writer.write(piece)
    }
    const digests = await digest.digest()
    verify(content, digests.get('sha256')!)
    return { staged: await writer.finish(), md5: digests.get('md5')!.toString('hex') }
  } catch (error) {
    digest.abandon()
    await writer.abort()
    throw error
  }
}

function verify(content: IncomingContent, sha256: Buffer): void {
  if (content.signedSha256 !== undefined && sha256.toString('hex') !== content.signedSha256) throw new BodyMismatch()
}

function tooLarge(limit: number): BodyTooLarge {
  const say = limit === 0 ? 'this request takes no body' : `the body is larger than the ${limit} bytes that are allowed`
  return new BodyTooLarge(say, { limit })
}

function tooLargeFile(): BodyTooLarge {
  const say = `a file of more than ${MAX_PUT_BYTES / GIB} GiB is uploaded in parts: use the S3 endpoint (aws s3 cp does it)`
  return new BodyTooLarge(say, { limit: MAX_PUT_BYTES })
}
