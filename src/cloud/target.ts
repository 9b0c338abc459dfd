/** A folder of a bucket (or container) of a cloud store, parsed from a URL and the endpoint of its secret. */
export type Target = S3Target | GcsTarget | AzureTarget

interface Place {
  /** `http(s)://host[:port]` without a path; undefined: the service's own. */
  readonly endpoint: string | undefined
  /** Azure calls it a container. */
  readonly bucket: string
  /** The folder in the bucket, without slashes at its ends; empty: the bucket itself. */
  readonly folder: string
  /** Normal form, for people. */
  readonly url: string
  /** The same place always has the same one, whatever the URL was written like and whichever secret named the endpoint. */
  readonly identity: string
}

/** Amazon S3, or whatever speaks like it at the endpoint. Normal form: `s3://[endpoint/]bucket[/folder]`. */
export interface S3Target extends Place {
  readonly kind: 's3'
}

/** Google Cloud Storage. Normal form: `gs://bucket[/folder]`; an endpoint only comes with a secret. */
export interface GcsTarget extends Place {
  readonly kind: 'gcs'
}

/** Azure Blob Storage. Normal form: `wasbs://container@account.blob.core.windows.net[/folder]`. */
export interface AzureTarget extends Place {
  readonly kind: 'azure'
  readonly account: string
  /** `https://account.blob.core.windows.net`, another cloud's, or what the secret says (with a path: an emulator's account). */
  readonly endpoint: string
}

/**
 * The bucket (or container) of a target without its folder: what the ledger knows a place by. It has no slash at its end; with
 * the folder it is the identity.
 */
export function locationOf({ identity, folder }: Target): string {
  return folder === '' ? identity : identity.slice(0, -folder.length - 1)
}

/** What every key of a target begins with in its bucket. */
export function rootOf({ folder }: Pick<Target, 'folder'>): string {
  return folder === '' ? '' : `${folder}/`
}
