import { AccessDenied, type AccessKey, authorize, isAllowed, type Need, type Place } from '../kernel/index.ts'

/** Who asks, and what that one may do. */
export class Caller {
  readonly key: AccessKey

  constructor(key: AccessKey) {
    this.key = key
  }

  /** Throws AccessDenied. */
  authorize(need: Need, repo: string | undefined, place?: Place): void {
    authorize(this.key, need, repo, place)
  }

  may(need: Need, repo: string | undefined, place?: Place): boolean {
    return isAllowed(this.key, need, repo, place)
  }

  /** For what would outlast the key itself. Throws AccessDenied for temporary credentials. */
  requirePermanent(what: string): void {
    if (this.key.temporary === undefined) return
    throw new AccessDenied(`temporary credentials can't ${what}: use the key that they were made with`)
  }
}

/** For routes that need no key; it has no right to anything. */
export const nobody = new Caller({ accessKeyId: '', secretAccessKey: '', name: '', canonicalId: '', admin: false })
