import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type RequestPolicyFactory,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import type { AzureCredentials } from '../credentials.ts'
import { StoreRejected } from '../object-store.ts'
import type { AzureTarget } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'
import { GuardedTransport } from './transport.ts'

/**
 * The version of the service's protocol. Nothing newer is needed, and emulators, national clouds and older appliances refuse one that
 * they do not know yet. (2021-02-12 is the first that lists names which XML can't write.)
 */
const SERVICE_VERSION = '2021-12-02'

const pinVersion: RequestPolicyFactory = {
  create: (next) => ({
    sendRequest(request) {
      request.headers.set('x-ms-version', SERVICE_VERSION)
      return next.sendRequest(request)
    },
  }),
}

export interface AzureClient {
  readonly container: ContainerClient
  close(): void
}

/** Nothing of it comes from the environment: no connection string, no proxy, no identity. */
export function createAzureClient(options: {
  readonly target: AzureTarget
  readonly credentials: AzureCredentials
  readonly guard: TargetGuard
}): AzureClient {
  const { target, credentials } = options
  const transport = new GuardedTransport(options.guard)
  const pipeline = newPipeline(credentialOf(credentials), {
    httpClient: transport,
    // Retries are counted in one place: see retry.ts.
    retryOptions: { maxTries: 1 },
  })
  pipeline.factories.push(pinVersion)
  const container = new ContainerClient(containerUrl(target, credentials), pipeline)
  return { container, close: () => transport.close() }
}

function credentialOf({ account, signWith }: AzureCredentials): StorageSharedKeyCredential | AnonymousCredential {
  return 'accountKey' in signWith
    ? new StorageSharedKeyCredential(account, signWith.accountKey)
    : new AnonymousCredential()
}

function containerUrl({ endpoint, bucket }: AzureTarget, { signWith }: AzureCredentials): string {
  if (!URL.canParse(endpoint)) throw new StoreRejected(`the endpoint ${endpoint} is no URL`)
  const base = `${endpoint.replace(/\/+$/, '')}/${encodeURIComponent(bucket)}`
  return 'sas' in signWith ? `${base}?${signWith.sas.replace(/^\?/, '')}` : base
}
