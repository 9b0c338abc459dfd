import { createHash } from 'node:crypto'
import { DomainError } from './errors.ts'

/** A key that requests are signed with, and who it stands for. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Shown as the author of commits and as the owner's display name. */
  readonly name: string
  /** 64 hex digits: what S3 calls the canonical user id. */
  readonly canonicalId: string
  /** May do everything on every repo. */
  readonly admin: boolean
}

/** Where keys are looked up. An unknown id is `undefined`, never an error. */
export interface KeyRing {
  find(accessKeyId: string): Promise<AccessKey | undefined>
}

/** What an operation needs on a repo; each includes the ones before it. */
export type Need = 'read' | 'write' | 'owner' | 'admin'

/** The key is known, but may not do this. */
export class AccessDenied extends DomainError {
  readonly code = 'AccessDenied'
}

/** The ring with the one key that a store is made with. */
export function rootKeyRing(rootKey: { readonly accessKeyId: string; readonly secretAccessKey: string }): KeyRing {
  const key: AccessKey = Object.freeze({
    accessKeyId: rootKey.accessKeyId,
    secretAccessKey: rootKey.secretAccessKey,
    name: 'root',
    canonicalId: createHash('sha256').update(`sluice-user:${rootKey.accessKeyId}`).digest('hex'),
    admin: true,
  })
  return { find: async (accessKeyId) => (accessKeyId === key.accessKeyId ? key : undefined) }
}

/**
 * The one place that decides whether a key may do something. `repo` is undefined for what concerns no single repo. Throws
 * AccessDenied. There are no roles yet: a key that is not an admin's may do nothing.
 */
export function authorize(key: AccessKey, need: Need, repo: string | undefined): void {
  if (key.admin) return
  const where = repo === undefined ? 'this server' : `repo ${repo}`
  throw new AccessDenied(`key ${key.accessKeyId} needs the right to ${need} on ${where}; ask an administrator for it`, {
    need,
    ...(repo === undefined ? {} : { repo }),
  })
}
