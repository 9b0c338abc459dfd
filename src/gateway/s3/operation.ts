import type { AccessKey, Clock, Need, Person, Place } from '../../kernel/index.ts'
import type {
  BranchAddress,
  Checksum,
  RepoName,
  StagedContent,
  Target,
  TargetInfo,
  VersionId,
  Versioning,
} from '../../versioning/index.ts'
import type { FlushRecords } from '../control/flush-records.ts'
import type { Bucket } from './addressing.ts'
import type { ChecksumAlgorithm } from './checksums.ts'
import type { BucketRequest, ObjectRequest, S3Request } from './request.ts'

export type Level = 'service' | 'bucket' | 'object'

/**
 * `all`: everything in the bucket; a key that is bound to a prefix may not. `prefix`: what begins with the parameter `prefix`. `keys`:
 * the operation asks for each key itself. `outside`: that the bucket is there, and nothing that is in it.
 */
export type Reach = 'all' | 'prefix' | 'keys' | 'outside'

interface RequestOn {
  service: S3Request
  bucket: BucketRequest
  object: ObjectRequest
}

export type ReplyHeaders = Record<string, string | number>

/** What goes back. A body that is iterated is sent with backpressure; after its first byte an error can only cut it off. */
export interface Reply {
  readonly status: number
  readonly headers: ReplyHeaders
  readonly body?: string | Buffer | AsyncIterable<string | Buffer>
}

/** A body that was received whole, with everything that the request said about it verified. */
export interface ReceivedContent {
  readonly staged: StagedContent
  readonly size: number
  /** Hex. */
  readonly md5: string
  readonly checksum?: Checksum
}

/** What `run` may use. */
export interface Context {
  readonly requestId: string
  readonly versioning: Versioning
  readonly caller: AccessKey
  readonly clock: Clock
  /** The configured region, if there is one. */
  readonly region: string | undefined
  readonly flushRecords: FlushRecords
  /** The input files of a datum, `repo@commit:path`; empty where that is not known. */
  datumInputs(job: string, datum: string): Promise<readonly string[]>
  /**
   * For what a request is about besides its own bucket and key, and for what `needs` and `reach` can't say. `place`: the part of the
   * repo that is meant; without it all of it is. Throws AccessDenied, RepoNotFound.
   */
  admit(need: Need, repo: RepoName, place?: Place): Promise<void>
  /** Whether the caller has this right. */
  may(need: Need, repo: RepoName | undefined, place?: Place): boolean
  /** Of what is about to be shown: throws AccessDenied where the caller may read only what is shared, and this version is not. */
  admitVersion(version: VersionId): Promise<void>
  /** Throws AccessDenied unless the caller may make repos. */
  authorizeNewRepo(repo: RepoName): void
  /** Who is shown as the owner of what is in a repo. Throws RepoNotFound. */
  ownerOf(repo: RepoName): Promise<Person>
  /** Aborted when the client is gone or the server stops. */
  signal(): AbortSignal
  /** Aborted when the server stops. */
  readonly stopSignal: AbortSignal
  /**
   * Takes the body into the store, for this branch. Nothing refers to it yet: it becomes visible only by what the caller does with
   * it. `checksum`: computed even if the client sends none.
   */
  receive(at: BranchAddress, options?: { checksum?: ChecksumAlgorithm }): Promise<ReceivedContent>
  /** What the bucket means to a reader. */
  target(bucket: Bucket): Promise<Target>
  /** What the bucket means to a writer. Throws ReadOnly for a commit. */
  branch(bucket: Bucket): Promise<BranchAddress>
  /** For response headers. */
  describe(target: Target): Promise<TargetInfo>
}

/** One S3 operation in its three parts. `read` and `write` are pure. */
export interface Definition<On extends Level, Input, Output> {
  /** As AWS names it. */
  readonly name: string
  readonly on: On
  readonly needs: Need
  /** In its place, where the bucket is a transaction's. */
  readonly needsInTransaction?: Need
  /** Of an operation on a bucket: how much of it is meant. */
  readonly reach?: Reach
  /** How large an XML body may be; without it the operation has none. */
  readonly documentBytes?: number
  /** `note`: the checksum headers are not about this body. */
  readonly documentKind?: 'document' | 'note'
  /** Parameters that it understands besides those that chose it. */
  readonly parameters?: readonly string[]
  /** What of it is not there, for the compatibility table. */
  readonly partly?: string
  read(request: RequestOn[On], document: Buffer): Input
  run(input: Input, context: Context): Promise<Output>
  write(output: Output, request: RequestOn[On]): Reply
}

/** An operation with its types folded away, as the registry holds it. */
export interface Operation {
  readonly name: string
  readonly on: Level
  readonly needs: Need
  readonly needsInTransaction: Need | undefined
  readonly reach: Reach
  readonly documentBytes: number | undefined
  readonly documentKind: 'document' | 'note'
  readonly parameters: readonly string[]
  readonly partly: string | undefined
  handle(request: S3Request, document: Buffer, context: Context): Promise<Reply>
}

export function operation<const On extends Level, Input, Output>(definition: Definition<On, Input, Output>): Operation {
  return {
    name: definition.name,
    on: definition.on,
    needs: definition.needs,
    needsInTransaction: definition.needsInTransaction,
    reach: definition.reach ?? 'all',
    documentBytes: definition.documentBytes,
    documentKind: definition.documentKind ?? 'document',
    parameters: definition.parameters ?? [],
    partly: definition.partly,
    handle: async (request, document, context) => {
      // The front door builds the request for the level that the registry chose this operation on.
      const typed = request as RequestOn[On]
      const output = await definition.run(definition.read(typed, document), context)
      return definition.write(output, typed)
    },
  }
}
