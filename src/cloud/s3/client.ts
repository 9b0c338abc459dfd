import { S3Client } from '@aws-sdk/client-s3'
import type { S3Credentials } from '../credentials.ts'
import type { S3Target } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'

export interface S3ClientOptions {
  readonly target: S3Target
  /** Undefined: the host's own cloud identity. */
  readonly credentials: Pick<S3Credentials, 'accessKeyId' | 'secretAccessKey'> | undefined
  readonly region: string | undefined
  readonly guard: TargetGuard
}

/** What is in flight at once over one store: transfers and what goes with them. */
const MAX_SOCKETS = 32
const CONNECT_TIMEOUT_MS = 10_000
/** Completing a large upload may take long without a byte (Amazon sends white space meanwhile, others nothing). */
const IDLE_SOCKET_TIMEOUT_MS = 120_000
/** What other stores take whatever it is called, and where most buckets of Amazon's are. */
const DEFAULT_REGION = 'us-east-1'

/** The SDK writes to the console otherwise; what fails is thrown all the same. */
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

/**
 * Everything that the SDK would read from the environment is said here: an AWS_ENDPOINT_URL that points at Sluice itself (as
 * `sluice env` prints it) must not turn a push around.
 */
export function createS3Client({ target, credentials, region, guard }: S3ClientOptions): S3Client {
  const agents = guard.agents({ maxSockets: MAX_SOCKETS })
  return new S3Client({
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
    requestHandler: {
      httpAgent: agents.http,
      httpsAgent: agents.https,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: IDLE_SOCKET_TIMEOUT_MS,
      // Waiting for a free socket is how transfers are bounded, no reason for a warning on the console.
      socketAcquisitionWarningTimeout: IDLE_SOCKET_TIMEOUT_MS,
    },
  })
}
