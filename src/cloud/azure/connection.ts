import type { BlobRequestConditions, BlockBlobClient, ContainerClient } from '@azure/storage-blob'
import type { Clock } from '../../kernel/index.ts'
import type { AzureCredentials } from '../credentials.ts'
import { type PutOptions, StoreRejected } from '../object-store.ts'
import { type RequestOptions, Requests } from '../requests.ts'
import { type AzureTarget, rootOf } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'
import { type AzureClient, createAzureClient } from './client.ts'
import { type Place, translate } from './errors.ts'
import { checkBlobName } from './names.ts'

export interface AzureConnectionOptions extends RequestOptions {
  readonly target: AzureTarget
  readonly credentials: AzureCredentials
  readonly guard: TargetGuard
  readonly clock: Clock
}

/** A client, its place, and the way that requests of it are retried and their failures told. */
export class AzureConnection {
  readonly target: AzureTarget
  readonly place: Place
  readonly #client: AzureClient
  readonly #requests: Requests
  #isClosed = false

  constructor(options: AzureConnectionOptions) {
    const { target, credentials } = options
    this.target = target
    this.place = {
      account: credentials.account,
      container: target.bucket,
      service: target.endpoint.replace(/^https?:\/\//, ''),
      signedBy: 'sas' in credentials.signWith ? 'shared access signature' : 'account key',
      isExpired: () => endOf(credentials) < options.clock.now(),
    }
    this.#client = createAzureClient(options)
    this.#requests = new Requests(options, (error) => translate(error, this.place))
  }

  get container(): ContainerClient {
    return this.#client.container
  }

  /** What keys begin with in the container. */
  get root(): string {
    return rootOf(this.target)
  }

  /** Throws StoreRejected for a key that can't be held. */
  blob(key: string): BlockBlobClient {
    const name = this.root + key
    checkBlobName(key)
    checkBlobName(name)
    return this.container.getBlockBlobClient(name)
  }

  /** Once; failures come in the stores' vocabulary, an abort as the signal's reason. */
  async once<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#requests.once(() => this.#open(work), signal)
  }

  /** As often as it helps, for requests that can be sent again. */
  async again<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#requests.again(() => this.#open(work), signal)
  }

  /** A listing that its caller has given up goes no further. */
  async #open<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#isClosed) throw new StoreRejected('the store was closed')
    return work()
  }

  close(): void {
    this.#isClosed = true
    this.#client.close()
  }
}

/** When a shared access signature ends, as it says itself (`se`). */
function endOf({ signWith }: AzureCredentials): number {
  const ends = 'sas' in signWith ? new URLSearchParams(signWith.sas).get('se') : undefined
  return ends ? Date.parse(ends) : Number.POSITIVE_INFINITY
}

export function bareEtag(etag: string | undefined): string {
  return (etag ?? '').replace(/^"(.*)"$/, '$1')
}

/** The condition of a write, as Azure is told it. */
export function onlyIf(only: PutOptions['only']): { conditions?: BlobRequestConditions } {
  if (only === undefined) return {}
  return { conditions: only === 'absent' ? { ifNoneMatch: '*' } : { ifMatch: `"${only.etag}"` } }
}

export function md5Bytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

export function md5Hex(bytes: Uint8Array | undefined): { md5?: string } {
  return bytes?.length === 16 ? { md5: Buffer.from(bytes).toString('hex') } : {}
}
