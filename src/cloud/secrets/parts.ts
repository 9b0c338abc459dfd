/**
 * The parts of a secret as they are given: the only time that they are in the clear. Which of them belong together depends on the
 * kind: accessKeyId, secretAccessKey (region) for s3; serviceAccount for gcs; account with accountKey or sas, or a
 * connectionString, for azure. An endpoint goes with any.
 */
export interface SecretParts {
  /** Left out: s3. */
  readonly kind?: SecretKind | undefined
  readonly accessKeyId?: string | undefined
  readonly secretAccessKey?: string | undefined
  readonly region?: string | undefined
  /** The text of Google's JSON key file. */
  readonly serviceAccount?: string | undefined
  readonly account?: string | undefined
  /** Base64. */
  readonly accountKey?: string | undefined
  /** A shared access signature, with or without its `?`. */
  readonly sas?: string | undefined
  readonly connectionString?: string | undefined
  readonly endpoint?: string | undefined
}

/** A secret as it is given for keeping. */
export interface SecretInput extends SecretParts {
  readonly name: string
}

/** Which service the credentials are for. */
export type SecretKind = 's3' | 'gcs' | 'azure'
/** Every SecretKind. */
export const SECRET_KINDS: readonly SecretKind[] = ['s3', 'gcs', 'azure']

/** A secret's parts as they are kept: `sealed` alone is secret. */
export interface CheckedSecret {
  readonly kind: SecretKind
  /** Access key id, client email or account. */
  readonly identity: string
  readonly sealed: string
  readonly endpoint?: string
  /** Azure: the endpoint that the parts name, also where it is the account's own and not kept. */
  readonly named?: string
  readonly region?: string
  /** What else may be shown. */
  readonly details: SecretDetails
}

/** By kind; kept as JSON. */
export interface SecretDetails {
  readonly privateKeyId?: string
  readonly signsWith?: 'account key' | 'shared access signature'
  readonly expiresMs?: number
}

/** Reads the parts of one kind; what is wrong is added to `problems`, and then nothing is returned. */
export type ReadSecret = (parts: SecretParts, problems: string[]) => CheckedSecret | undefined
