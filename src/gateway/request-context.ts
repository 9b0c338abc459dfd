import type { ServerResponse } from 'node:http'
import {
  authorizeNewRepo,
  CHUNK_BYTES,
  type Clock,
  isAllowed,
  type Need,
  type Person,
  type Place,
  type Users,
  type Verified,
} from '../kernel/index.ts'
import type { Pipelines } from '../pipelines/index.ts'
import {
  type BranchAddress,
  isCommitPrefix,
  ReadOnly,
  type RepoName,
  type Target,
  type TargetInfo,
  type VersionId,
  type Versioning,
} from '../versioning/index.ts'
import { admit, ownerOf } from './admission.ts'
import type { FlushRecords } from './control/flush-records.ts'
import { visibleInputs } from './control/veil.ts'
import type { Guest } from './guests.ts'
import type { Bucket } from './s3/addressing.ts'
import { planBody } from './s3/body/plan.ts'
import { receiveContent, receiveDocument } from './s3/body/receive.ts'
import type { RequestBody } from './s3/body/source.ts'
import type { ChecksumAlgorithm } from './s3/checksums.ts'
import { orElse } from './s3/find-entry.ts'
import type { Context, Operation, ReceivedContent } from './s3/operation.ts'
import type { S3Request } from './s3/request.ts'

/** What all requests share. */
export interface Services {
  readonly versioning: Versioning
  readonly clock: Clock
  readonly region: string | undefined
  readonly flushRecords: FlushRecords
  readonly pipelines: Pick<Pipelines, 'getDatum'> | undefined
  readonly stopSignal: AbortSignal
  /** Who can be named as an owner; without it only the caller can. */
  readonly people: Pick<Users, 'person'> | undefined
}

const noDocument = Buffer.alloc(0)

/** What an operation may use, for one request. */
export class RequestContext implements Context {
  readonly #services: Services
  readonly #request: S3Request
  readonly #verified: Verified
  readonly #body: RequestBody
  readonly #response: ServerResponse
  readonly #guest: Guest | undefined
  #signal: AbortSignal | undefined

  constructor(
    services: Services,
    of: {
      request: S3Request
      verified: Verified
      body: RequestBody
      response: ServerResponse
      guest: Guest | undefined
    },
  ) {
    this.#services = services
    this.#request = of.request
    this.#verified = of.verified
    this.#body = of.body
    this.#response = of.response
    this.#guest = of.guest
  }

  get requestId() {
    return this.#request.id
  }
  get versioning() {
    return this.#services.versioning
  }
  get caller() {
    return this.#verified.key
  }
  get clock() {
    return this.#services.clock
  }
  get region() {
    return this.#services.region
  }
  get flushRecords() {
    return this.#services.flushRecords
  }
  get stopSignal() {
    return this.#services.stopSignal
  }

  admit(need: Need, repo: RepoName, place?: Place): Promise<void> {
    return admit({ services: this.#services, key: this.caller }, need, repo, place)
  }

  may(need: Need, repo: RepoName | undefined, place?: Place): boolean {
    return isAllowed(this.caller, need, repo, place)
  }

  authorizeNewRepo(repo: RepoName): void {
    authorizeNewRepo(this.caller, repo)
  }

  async admitVersion(version: VersionId): Promise<void> {
    await this.#guest?.admitVersion(version)
  }

  ownerOf(repo: RepoName): Promise<Person> {
    return ownerOf(this.#services, this.caller, repo)
  }

  signal(): AbortSignal {
    if (this.#signal) return this.#signal
    const gone = new AbortController()
    this.#response.once('close', () => gone.abort())
    if (this.#response.destroyed) gone.abort()
    this.#signal = AbortSignal.any([gone.signal, this.stopSignal])
    return this.#signal
  }

  async datumInputs(job: string, datum: string): Promise<readonly string[]> {
    // Rows of jobs go with their pipeline; what they made stays.
    const found = await this.#services.pipelines
      ?.getDatum(job, datum)
      .catch(orElse('JobNotFound', undefined))
      .catch(orElse('DatumNotFound', undefined))
    return visibleInputs(found?.inputs ?? [], this)
  }

  target(bucket: Bucket): Promise<Target> {
    return this.versioning.resolve(bucket.repo, bucket.name)
  }

  describe(target: Target): Promise<TargetInfo> {
    return this.versioning.describe(target)
  }

  async branch(bucket: Bucket): Promise<BranchAddress> {
    const target = await this.target(bucket)
    if (target.kind === 'commit') {
      const what = isCommitPrefix(bucket.name ?? '') ? 'commit' : 'the tag of commit'
      throw new ReadOnly(
        `${bucket.text} is ${what} ${target.commit}, and commits never change: write to a branch, as in <branch>.${bucket.repo}`,
        { repo: bucket.repo, commit: target.commit },
      )
    }
    const at = { repo: target.repo, branch: target.branch }
    if (this.#isLarge()) {
      // Versioning refuses the write in any case; this spares the client from sending it all first.
      const { readOnly } = await this.versioning.getBranch(at)
      if (readOnly !== undefined) throw new ReadOnly(readOnly, { ...at })
    }
    return at
  }

  async receive(at: BranchAddress, options: { checksum?: ChecksumAlgorithm } = {}): Promise<ReceivedContent> {
    const plan = planBody(this.#request.headers, this.#verified.payload, 'object')
    const done = this.versioning.writing(at)
    try {
      return await receiveContent(this.#body, plan, this.versioning.content, options.checksum)
    } finally {
      done()
    }
  }

  /** The XML body of an operation that has one. */
  async receiveDocument({ documentBytes, documentKind }: Operation): Promise<Buffer> {
    if (documentBytes === undefined) return noDocument
    const plan = planBody(this.#request.headers, this.#verified.payload, documentKind)
    return receiveDocument(this.#body, plan, documentBytes)
  }

  #isLarge(): boolean {
    const { headers, method } = this.#request
    return method === 'PUT' && !(Number(headers['content-length']) <= CHUNK_BYTES)
  }
}
