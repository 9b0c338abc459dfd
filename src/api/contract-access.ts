/** What the contract says of secrets, users, roles and credentials; a part of `contract.ts`, by which it is read. */

/** A secret as it is shown: never its secret part. */
export type SecretJson = S3SecretJson | GcsSecretJson | AzureSecretJson

interface AnySecretJson {
  readonly name: string
  /** The only endpoint that it is used for; left out: the service's own, or what a URL says. */
  readonly endpoint?: string
  readonly created: string
  /** When its secret part was last given. */
  readonly updated: string
  /** What is to be done about it soon, in words. */
  readonly warning?: string
}

/** Of S3 and its like. */
export interface S3SecretJson extends AnySecretJson {
  readonly kind: 's3'
  readonly accessKeyId: string
  readonly region?: string
}

/** Of Google Cloud Storage. */
export interface GcsSecretJson extends AnySecretJson {
  readonly kind: 'gcs'
  readonly clientEmail: string
  readonly privateKeyId?: string
}

/** Of Azure Blob Storage. */
export interface AzureSecretJson extends AnySecretJson {
  readonly kind: 'azure'
  readonly account: string
  readonly signsWith: 'account key' | 'shared access signature'
  /** The end of a shared access signature. */
  readonly expires?: string
}

/** A user as it is shown: never a secret. */
export interface UserJson {
  readonly name: string
  readonly email?: string
  /** What S3 calls the canonical user id. */
  readonly canonicalId: string
  readonly admin: boolean
  readonly mayCreateRepos: boolean
  /** The user of the server's root key. */
  readonly root: boolean
  readonly created: string
  readonly keys: readonly { readonly accessKeyId: string; readonly created: string; readonly expires?: string }[]
  /** Not in lists. */
  readonly roles?: readonly { readonly repo: string; readonly role: RoleNameJson }[]
}

/** The one time that a secret is shown. */
export interface KeyJson {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface UserCreatedJson {
  readonly user: UserJson
  readonly key: KeyJson
}

export type RoleNameJson = 'reader' | 'writer' | 'owner'

export interface RoleJson {
  readonly repo: string
  readonly user: string
  readonly canonicalId: string
  readonly role: RoleNameJson
}

/** What temporary credentials may be used for. */
export interface GrantJson {
  readonly repo: string
  readonly role: 'reader' | 'writer'
  /** A branch, or a transaction as `tx-<name>` or `tx-<name>.<branch>`: what stands before the repo in the bucket's name. */
  readonly branch?: string
  readonly prefix?: string
}

export interface CredentialsJson extends KeyJson {
  readonly sessionToken: string
  readonly expires: string
}
