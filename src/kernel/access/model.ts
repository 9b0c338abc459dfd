import { DomainError } from '../errors.ts'

/** What a user is on a repo; each may do what those before it may. */
export type Role = 'reader' | 'writer' | 'owner'
/** All roles, the least first. */
export const roles: readonly Role[] = ['reader', 'writer', 'owner']

/** A key that requests are signed with, and who it stands for. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Shown as the author of commits and as the owner's display name. */
  readonly name: string
  readonly email?: string
  /** 64 hex digits: what S3 calls the canonical user id. */
  readonly canonicalId: string
  /** May do everything on every repo. */
  readonly admin: boolean
  /** By repo, for one who is no admin; absent: none. */
  readonly roles?: ReadonlyMap<string, Role>
  /** May make new repos (and owns what it makes); absent: it may not, unless it is an admin. */
  readonly mayCreateRepos?: boolean
  /** Set on credentials that were handed out for a time: they have at most the rights of the key that made them. */
  readonly temporary?: { readonly expiresMs: number; readonly grants?: readonly Grant[] }
}

/** One thing that temporary credentials may be used for. */
export interface Grant {
  readonly repo: string
  readonly role: 'reader' | 'writer'
  /** What stands before the repo in the bucket's name: a branch, or a transaction (`tx-<name>.<branch>`). Absent: any, commits too. */
  readonly branch?: string
  /** Only keys that begin so, byte by byte. */
  readonly prefix?: string
}

/** The part of a repo that a request is about. */
export interface Place {
  /** What stands before the repo in the bucket's name; undefined: nothing, or it is about several. */
  readonly branch: string | undefined
  /** A key, or what all keys begin with that are meant. Absent: every key. */
  readonly path?: string
  /** About the bucket itself, and nothing that is in it. */
  readonly outside?: true
}

/** What an operation needs: to be anybody that has a key (the answer shows only what that one may see), or a right on a repo. */
export type Need = 'known' | 'read' | 'write' | 'owner' | 'admin'

/** Where keys are looked up. An unknown id is `undefined`, never an error. */
export interface KeyRing {
  /** With a session token: temporary credentials, undefined unless the token is genuine and is this key's. */
  find(accessKeyId: string, sessionToken?: string): Promise<AccessKey | undefined>
}

/** Somebody that can be named as an owner. */
export interface Person {
  readonly canonicalId: string
  /** Undefined where nobody knows any more. */
  readonly name?: string
}

/** The key is known, but may not do this. */
export class AccessDenied extends DomainError {
  readonly code = 'AccessDenied'
}

/** There is no such user (`data.name`). */
export class UserNotFound extends DomainError {
  readonly code = 'UserNotFound'
  constructor(name: string) {
    super(`there is no user ${JSON.stringify(name)}`, { name })
  }
}

/** The name is taken. */
export class UserExists extends DomainError {
  readonly code = 'UserExists'
}
