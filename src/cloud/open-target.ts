import type { Clock } from '../kernel/index.ts'
import type { Credentials } from './credentials.ts'
import { type ObjectStore, StoreRejected } from './object-store.ts'
import { openS3Store } from './s3/s3-store.ts'
import type { Target } from './target.ts'
import type { TargetGuard } from './target-guard.ts'
import { SERVICES } from './urls/hint.ts'

/** What drivers of targets need of the process. */
export interface OpenTargetParts {
  /** Every connection to the target goes through it, also after redirects. */
  readonly guard: TargetGuard
  readonly clock: Clock
  /** From 0 up to 1; spreads retries. */
  readonly random: () => number
}

/**
 * Opens the store that a target is in, by the driver of its kind. Credentials must be of that kind; `undefined` is the identity of
 * the host, which Azure's driver does not know. Throws StoreRejected. Google's and Azure's libraries are large, and loaded when one
 * of their targets is opened for the first time.
 */
export async function openTargetStore(
  target: Target,
  credentials: Credentials | undefined,
  parts: OpenTargetParts,
): Promise<ObjectStore> {
  switch (target.kind) {
    case 's3': {
      const own = credentials && ofKind('s3', target, credentials)
      return openS3Store({ ...parts, target, credentials: own, region: own?.region })
    }
    case 'gcs': {
      const own = credentials && ofKind('gcs', target, credentials)
      const { openGcsStore } = await import('./gcs/gcs-store.ts')
      return openGcsStore({ ...parts, target, credentials: own })
    }
    case 'azure': {
      if (!credentials)
        throw new StoreRejected(`${target.url} needs a secret: the identity of the host does not reach Azure`)
      const own = ofKind('azure', target, credentials)
      const { openAzureStore } = await import('./azure/azure-store.ts')
      return openAzureStore({ ...parts, target, credentials: own })
    }
  }
}

/** Specs are checked when they are made; a secret may since have been made again as another kind. */
function ofKind<Kind extends Credentials['kind']>(
  kind: Kind,
  target: Target,
  credentials: Credentials,
): Extract<Credentials, { kind: Kind }> {
  if (isOfKind(kind, credentials)) return credentials
  throw new StoreRejected(
    `the credentials for ${target.url} are for ${SERVICES[credentials.kind]}, not for ${SERVICES[kind]}`,
  )
}

function isOfKind<Kind extends Credentials['kind']>(
  kind: Kind,
  credentials: Credentials,
): credentials is Extract<Credentials, { kind: Kind }> {
  return credentials.kind === kind
}
