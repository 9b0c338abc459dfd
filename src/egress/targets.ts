import { type ObjectStore, openS3Store, type S3Target, type SecretStore, type TargetGuard } from '../cloud/index.ts'
import { type Clock, InvalidInput } from '../kernel/index.ts'
import { resolveTarget } from './check.ts'

/** Opens the place that a push goes to. Throws InvalidInput, SecretNotFound: what was right when it was checked may not be now. */
export type OpenTarget = (url: string, secret: string | undefined) => Promise<{ store: ObjectStore; target: S3Target }>

/** Opens a target with credentials; `undefined` is the host's own identity. */
export type OpenStore = (
  target: S3Target,
  credentials: { accessKeyId: string; secretAccessKey: string; region?: string } | undefined,
) => ObjectStore | Promise<ObjectStore>

export function s3Stores(parts: { guard: TargetGuard; clock: Clock; random: () => number }): OpenStore {
  return (target, credentials) => openS3Store({ ...parts, target, credentials, region: credentials?.region })
}

export function targetOpener(parts: {
  secrets: Pick<SecretStore, 'open'>
  defaultCredentials: boolean
  openStore: OpenStore
}): OpenTarget {
  return async (url, secret) => {
    if (secret === undefined) {
      if (!parts.defaultCredentials) {
        throw new InvalidInput('this target has no secret, and SLUICE_EGRESS_DEFAULT_CREDENTIALS is off')
      }
      const target = resolveTarget(url, {})
      return { target, store: await parts.openStore(target, undefined) }
    }
    const { accessKeyId, secretAccessKey, endpoint, region } = await parts.secrets.open(secret)
    const target = resolveTarget(url, endpoint === undefined ? {} : { endpoint })
    const credentials = { accessKeyId, secretAccessKey, ...(region === undefined ? {} : { region }) }
    return { target, store: await parts.openStore(target, credentials) }
  }
}
