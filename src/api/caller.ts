import { AccessDenied, type AccessKey, authorize, isAllowed, type Need, type Place } from '../kernel/index.ts'

/** Who asks, and what that one may do. */
export class Caller {
  readonly key: AccessKey

  constructor(key: AccessKey) {
    this.key = key
  }

  /** Throws AccessDenied. */
  authorize(need: Need, repo: string | undefined, place?: Place): void {
    if (!this.may(need, repo, place)) this.#explainBound(need, repo, place)
    authorize(this.key, need, repo, place)
  }

  may(need: Need, repo: string | undefined, place?: Place): boolean {
    return isAllowed(this.key, need, repo, place)
  }

  /** `master^` is reached by no key that is bound to `master`, which is told why. */
  #explainBound(need: Need, repo: string | undefined, place: Place | undefined): void {
    const [branch] = /^[^^@{}]+(?=[@^])/.exec(place?.branch ?? '') ?? []
    if (branch === undefined || !this.may(need, repo, { ...place, branch })) return
    throw new AccessDenied(
      `the temporary key ${this.key.accessKeyId} is bound to ${repo}@${branch}, and ${place?.branch} may be a commit of another branch, which that one was made from or moved to: name ${branch} itself, or use the key that this one was made with`,
      { need, repo },
    )
  }

  /** For what would outlast the key itself. Throws AccessDenied for temporary credentials. */
  requirePermanent(what: string): void {
    if (this.key.temporary === undefined) return
    throw new AccessDenied(`temporary credentials can't ${what}: use the key that they were made with`)
  }
}

/** For routes that need no key; it has no right to anything. */
export const nobody = new Caller({ accessKeyId: '', secretAccessKey: '', name: '', canonicalId: '', admin: false })
