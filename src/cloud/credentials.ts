/** What a driver signs with. Never logged, never answered. */
export type Credentials = S3Credentials | GcsCredentials | AzureCredentials

/** A key of Amazon S3 or of what speaks like it. */
export interface S3Credentials {
  readonly kind: 's3'
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region?: string
}

/** Of a service account; requests carry tokens signed with its key, so that no token service is asked. */
export interface GcsCredentials {
  readonly kind: 'gcs'
  readonly clientEmail: string
  /** PEM, PKCS#8. */
  readonly privateKey: string
  readonly privateKeyId?: string
}

/** Of a storage account: its key (base64), or a shared access signature (a query string without `?`). */
export interface AzureCredentials {
  readonly kind: 'azure'
  readonly account: string
  readonly signWith: { readonly accountKey: string } | { readonly sas: string }
}
