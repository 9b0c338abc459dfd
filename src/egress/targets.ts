import {
  type Credentials,
  expiryOf,
  hintOf,
  type ObjectStore,
  type OpenTargetParts,
  openTargetStore,
  parseTargetUrl,
  type SecretStore,
  type Target,
} from '../cloud/index.ts'
import { type Clock, InvalidInput } from '../kernel/index.ts'
import { refuseNoSecret } from './check.ts'

/** Opens the place that a push goes to. Throws InvalidInput, SecretNotFound: what was right when it was checked may not be now. */
export type OpenTarget = (url: string, secret: string | undefined) => Promise<{ store: ObjectStore; target: Target }>

/** Opens a target with credentials; `undefined` is the host's own identity. */
export type OpenStore = (target: Target, credentials: Credentials | undefined) => ObjectStore | Promise<ObjectStore>

/** Opens targets by the drivers of their kinds. */
export function targetStores(parts: OpenTargetParts): OpenStore {
  return (target, credentials) => openTargetStore(target, credentials, parts)
}

export function targetOpener(parts: {
  secrets: Pick<SecretStore, 'open'>
  defaultCredentials: boolean
  openStore: OpenStore
  clock: Clock
}): OpenTarget {
  return async (url, secret) => {
    if (secret === undefined) {
      const target = parseTargetUrl(url)
      refuseNoSecret(target, parts.defaultCredentials)
      return { target, store: await parts.openStore(target, undefined) }
    }
    const { info, credentials } = await parts.secrets.open(secret)
    const target = parseTargetUrl(url, hintOf(info))
    const expiry = expiryOf(info, parts.clock.now())
    // What the store would answer is that the signature is wrong.
    if (expiry?.over) throw new InvalidInput(expiry.text, { secret })
    return { target, store: await parts.openStore(target, credentials) }
  }
}
