import type { IncomingMessage } from 'node:http'
import { AccessDenied, type AccessKey, type PayloadKind, SignatureError, type Verified } from '../kernel/index.ts'
import {
  type BranchAddress,
  type CannedAccess,
  isCommitPrefix,
  isTransactionName,
  type Sharing,
  type VersionId,
  type Versioning,
} from '../versioning/index.ts'
import { S3Error } from './s3/codes.ts'
import type { Operation, Reply } from './s3/operation.ts'
import type { BucketRequest, ObjectRequest, S3Request } from './s3/request.ts'

/** AWS: "Access control list overview", what READ and WRITE on a bucket and READ on an object allow. Nothing else is ever shared. */
const readsBucket: ReadonlySet<string> = new Set([
  'HeadBucket',
  'ListMultipartUploads',
  'ListObjects',
  'ListObjectsV2',
  'ListObjectVersions',
])
const writesBucket: ReadonlySet<string> = new Set([
  'AbortMultipartUpload',
  'CompleteMultipartUpload',
  'CreateMultipartUpload',
  'ListParts',
  'PutObject',
  'UploadPart',
])
/** AWS: whose upload it is says who began it. */
const continuesUpload: ReadonlySet<string> = new Set([
  'AbortMultipartUpload',
  'CompleteMultipartUpload',
  'ListParts',
  'UploadPart',
])
const readsObject: ReadonlySet<string> = new Set(['GetObject', 'HeadObject'])

/** Who sends no signature: AWS's own id for it. It has no right by any role, and is bound to nothing as a temporary key would be. */
const nobody: AccessKey = {
  accessKeyId: '',
  secretAccessKey: '',
  name: 'anonymous',
  canonicalId: '65a011a29cdf8ec533ec3d1ccaae921c',
  admin: false,
  temporary: { expiresMs: Number.POSITIVE_INFINITY, grants: [] },
}

/**
 * Lets those who have no right in where an owner shared something: keys without a role, and where the server's settings allow it those
 * who send no key at all.
 */
export class Guests {
  readonly #versioning: Versioning
  readonly #sharing: Sharing
  readonly #anonymous: boolean

  constructor(versioning: Versioning, anonymous: boolean) {
    this.#versioning = versioning
    this.#sharing = versioning.sharing
    this.#anonymous = anonymous
  }

  /** Who a request without a signature comes from; throws the error back where nobody is let in without one. */
  anonymous(message: IncomingMessage, error: unknown): Verified {
    const unsigned = error instanceof SignatureError && error.code === 'MissingAuthentication'
    if (!unsigned || !this.#anonymous || !this.#sharing.some) throw error
    return { key: nobody, payload: unsignedPayload(message, error), presigned: false }
  }

  /** For what every key may do. Throws MissingAuthentication for who has none. */
  refuseNobody(caller: AccessKey): void {
    if (caller === nobody) throw new SignatureError('MissingAuthentication', 'the request is not signed')
  }

  /**
   * For a caller who was refused: what of the operation is shared with it all the same. Throws `refusal` if nothing is, and NoSuchBucket's
   * errors for a branch that is not there.
   */
  async admit(
    caller: AccessKey,
    operation: Operation,
    request: S3Request | BucketRequest | ObjectRequest,
    refusal: unknown,
  ): Promise<Guest> {
    const isGuest = caller === nobody || caller.temporary === undefined
    if (!(refusal instanceof AccessDenied) || !isGuest || !this.#sharing.some || !('bucket' in request)) throw refusal
    const { name } = operation
    if (caller === nobody) refuseOverrides(request)
    if (!readsBucket.has(name) && !writesBucket.has(name) && !readsObject.has(name)) throw refusal
    // Only the branch itself is shared: not its commits, and no transaction. Those are not even looked up, since what is wrong with
    // one (why it failed, which others it could mean) is for readers of the repo.
    const branch = request.bucket.name ?? ''
    if (isCommitPrefix(branch) || isTransactionName(branch)) throw refusal
    const target = await this.#versioning.resolve(request.bucket.repo, request.bucket.name)
    if (target.kind !== 'branch') throw refusal
    const access = await this.#sharing.ofBranch(target)
    const mayList = mayRead(access, caller)
    if (readsObject.has(name)) {
      // A version or a commit that is named by its id can be of any branch, which nobody may list.
      return new Guest(this.#sharing, caller, mayList && !request.query.has('versionId'), refusal)
    }
    if (!(readsBucket.has(name) ? mayList : mayWrite(access))) throw refusal
    if (continuesUpload.has(name) && !(await this.#beganUpload(caller, target, request))) throw refusal
    return new Guest(this.#sharing, caller, true, undefined)
  }

  /** Throws UploadNotFound. */
  async #beganUpload(caller: AccessKey, at: BranchAddress, request: BucketRequest | ObjectRequest): Promise<boolean> {
    if (!('key' in request)) return false
    const upload = await this.#versioning.uploads.get(at, request.key, request.query.get('uploadId') ?? '')
    return upload.initiator === caller.canonicalId
  }
}

/** One request of somebody who is let in by what is shared. */
export class Guest {
  readonly #sharing: Sharing
  readonly #caller: AccessKey
  readonly #mayList: boolean
  readonly #refusal: AccessDenied | undefined
  #shown: VersionId | undefined

  /** With a `refusal` nothing is shown unless the version that is shown was asked for by `admitVersion`. */
  constructor(sharing: Sharing, caller: AccessKey, mayList: boolean, refusal: AccessDenied | undefined) {
    this.#sharing = sharing
    this.#caller = caller
    this.#mayList = mayList
    this.#refusal = refusal
  }

  /** Throws AccessDenied if this version is not shared. */
  async admitVersion(version: VersionId): Promise<void> {
    const access = await this.#sharing.ofVersion(version)
    if (!mayRead(access, this.#caller)) throw this.#refusal ?? new AccessDenied('this object is not shared')
    this.#shown = version
  }

  /** Runs the operation; what it says is passed on only if the guest may know it. */
  async run(handle: () => Promise<Reply>): Promise<Reply> {
    let reply: Reply
    try {
      reply = await handle()
    } catch (error) {
      // That there is no such object is for those to know who may list.
      if (this.#refusal && !this.#shown && !this.#mayList) throw this.#refusal
      throw error
    }
    if (this.#refusal && !this.#shown) throw this.#refusal
    return reply
  }
}

/** AWS: `response-*` "cannot be used with an unsigned (anonymous) request": a link would choose what a page shows an object as. */
function refuseOverrides({ query }: S3Request): void {
  for (const name of query.keys()) {
    if (!name.startsWith('response-')) continue
    throw new S3Error('InvalidRequest', 'Request specific response headers cannot be used for anonymous GET requests.')
  }
}

function mayRead(access: CannedAccess, caller: AccessKey): boolean {
  return access === 'public-read' || access === 'public-read-write' || (access !== 'private' && caller !== nobody)
}

function mayWrite(access: CannedAccess): boolean {
  return access === 'public-read-write'
}

/** Without a signature nothing says what the body must be, but the framing of SDKs stays framing. */
function unsignedPayload(message: IncomingMessage, error: unknown): PayloadKind {
  const text = message.headers['x-amz-content-sha256']
  if (text === undefined || text === 'UNSIGNED-PAYLOAD') return { kind: 'unsigned' }
  if (text === 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') return { kind: 'chunked', trailer: true }
  if (typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)) return { kind: 'sha256', hex: text }
  throw error
}
