import type { Agent as HttpAgent } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import { type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { MIB } from '../../kernel/index.ts'
import { md5Base64 } from '../body.ts'
import type { S3Credentials } from '../credentials.ts'
import { StoreRejected } from '../object-store.ts'
import type { S3Target } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'
import { isPrivateLine, UNSIGNED } from './payload.ts'

export interface S3ClientOptions {
  readonly target: S3Target
  /** Undefined: the host's own cloud identity. */
  readonly credentials: Pick<S3Credentials, 'accessKeyId' | 'secretAccessKey'> | undefined
  readonly region: string | undefined
  readonly guard: TargetGuard
  readonly timeouts?: Timeouts
}

export interface Timeouts {
  readonly connectMs: number
  /** Without a byte in either direction. */
  readonly idleMs: number
}

export interface Agents {
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

/** Where the SDK sends an object of this bucket, and what it signs it for. */
export interface S3Endpoint {
  /** Its path holds the bucket, unless the host does. */
  readonly url: URL
  readonly region: string
  /** See payload.ts. */
  readonly privateLine: boolean
}

export interface S3Clients {
  readonly client: S3Client
  readonly agents: Agents
  readonly timeouts: Timeouts
  /** Known after the first PutObject, and only where plain SigV4 is all that it takes. */
  readonly endpoint: () => S3Endpoint | undefined
}

/** What is in flight at once over one store: transfers and what goes with them. */
const MAX_SOCKETS = 32
/** Completing a large upload may take long without a byte (Amazon sends white space meanwhile, others nothing). */
const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 10_000, idleMs: 120_000 }
/** What other stores take whatever it is called, and where most buckets of Amazon's are. */
const DEFAULT_REGION = 'us-east-1'
/** A page of 1,000 keys of 1,024 bytes, each of which a URL may write as three, and what stands around them. */
const MAX_DOCUMENT_BYTES = 8 * MIB

/** The SDK writes to the console otherwise; what fails is thrown all the same. */
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

/**
 * Everything that the SDK would read from the environment is said here: an AWS_ENDPOINT_URL that points at Sluice itself (as
 * `sluice env` prints it) must not turn a push around.
 */
export function createS3Client({ target, credentials, region, guard, timeouts }: S3ClientOptions): S3Clients {
  const agents = guard.agents({ maxSockets: MAX_SOCKETS })
  const { connectMs, idleMs } = timeouts ?? DEFAULT_TIMEOUTS
  const client = new S3Client({
    // A redirect to another region would send a body that is gone: the error says which region to name instead.
    followRegionRedirects: false,
    ...(target.endpoint === undefined ? {} : { endpoint: target.endpoint, forcePathStyle: true }),
    // The host's own identity comes with the host's own region.
    ...(credentials ? { credentials: { ...credentials }, region: region ?? DEFAULT_REGION } : {}),
    ignoreConfiguredEndpointUrls: true,
    useArnRegion: false,
    // Content-MD5 does it; trailers with CRCs are not known by all relatives of S3.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With this header the SDK opens connections by an agent of its own, past the guard.
    expectContinueHeader: false,
    logger: quiet,
    // Retries are counted in one place: see retry.ts.
    maxAttempts: 1,
    streamCollector: collectDocument,
    requestHandler: {
      httpAgent: agents.http,
      httpsAgent: agents.https,
      connectionTimeout: connectMs,
      socketTimeout: idleMs,
      // Waiting for a free socket is how transfers are bounded, no reason for a warning on the console.
      socketAcquisitionWarningTimeout: idleMs,
    },
  })
  signNoSealedBodies(client)
  addDigestOfDocuments(client)
  return { client, agents, timeouts: { connectMs, idleMs }, endpoint: rememberEndpoint(client) }
}

/** A request on its way through the SDK, as far as it concerns us. */
interface Outgoing {
  readonly protocol: string
  readonly hostname: string
  readonly headers: Record<string, string>
  readonly body?: unknown
}

function signNoSealedBodies(client: S3Client): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as Outgoing
      if (request.headers['content-md5'] && isPrivateLine(request)) request.headers['x-amz-content-sha256'] = UNSIGNED
      return next(args)
    },
    { step: 'build', name: 'signNoSealedBodies', priority: 'low' },
  )
}

/** Bulk deletes must carry a checksum, and relatives of S3 know no other than this one. */
function addDigestOfDocuments(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => (args) => {
      const request = args.request as Outgoing
      if (context['commandName'] === 'DeleteObjectsCommand' && typeof request.body === 'string') {
        request.headers['content-md5'] = md5Base64(Buffer.from(request.body))
      }
      return next(args)
    },
    { step: 'build', name: 'addDigestOfDocuments' },
  )
}

function rememberEndpoint(client: S3Client): () => S3Endpoint | undefined {
  let endpoint: S3Endpoint | undefined
  client.middlewareStack.add(
    (next, context) => (args) => {
      const { endpointV2 } = context
      if (context['commandName'] === 'PutObjectCommand' && endpointV2) endpoint = plainEndpoint(endpointV2)
      return next(args)
    },
    { step: 'build', name: 'rememberEndpoint' },
  )
  return () => endpoint
}

/** Directory buckets, access points of several regions and what else is to come sign in ways of their own: those stay with the SDK. */
function plainEndpoint(endpoint: {
  readonly url: URL
  readonly properties?: Record<string, unknown> | undefined
  readonly headers?: Record<string, string[]> | undefined
}): S3Endpoint | undefined {
  const schemes = endpoint.properties?.['authSchemes'] as
    | { name?: unknown; signingName?: unknown; signingRegion?: unknown }[]
    | undefined
  const scheme = schemes?.[0]
  const { signingRegion: region } = scheme ?? {}
  const isPlain = scheme?.name === 'sigv4' && scheme.signingName === 's3' && !endpoint.url.search
  if (!isPlain || typeof region !== 'string' || Object.keys(endpoint.headers ?? {}).length > 0) return undefined
  return { url: endpoint.url, region, privateLine: isPrivateLine(endpoint.url) }
}

/** Whatever is not an object's content is read whole, and no farther than it can make sense. */
async function collectDocument(stream: Readable): Promise<Uint8Array> {
  const pieces: Buffer[] = []
  let bytes = 0
  const sink = new Writable({
    write(piece: Buffer, _, done) {
      bytes += piece.length
      pieces.push(piece)
      done(bytes > MAX_DOCUMENT_BYTES ? new StoreRejected('the store answers with a document without end') : null)
    },
  })
  await pipeline(stream, sink)
  const document = Buffer.concat(pieces)
  refuseDoctypes(document)
  return document
}

/** The SDK goes through all of a document for each of these before its root: a few hundred thousand would stop this process for hours. */
function refuseDoctypes(document: Buffer): void {
  const found = document.toString('latin1').matchAll(/<!doctype/gi)
  if (found.next().done || found.next().done) return
  throw new StoreRejected('the store answers with a document of several types')
}
