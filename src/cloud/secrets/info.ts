import type { Credentials } from '../credentials.ts'
import { defaultAzureEndpoint } from '../urls/azure.ts'
import type { SecretHint } from '../urls/hint.ts'

interface CommonInfo {
  readonly name: string
  /** The only place that this secret is ever used for; undefined: where the URL says. */
  readonly endpoint?: string
  readonly createdMs: number
  /** When its secret part was last given. */
  readonly updatedMs: number
}

/** Of S3 and its like; an endpoint is `http(s)://host[:port]`. */
export interface S3SecretInfo extends CommonInfo {
  readonly kind: 's3'
  readonly accessKeyId: string
  readonly region?: string
}

/** Of a service account of Google's. */
export interface GcsSecretInfo extends CommonInfo {
  readonly kind: 'gcs'
  readonly clientEmail: string
  /** Which of the account's keys it is. */
  readonly privateKeyId?: string
}

/** Of a storage account of Azure's; an endpoint may have the account as its path. */
export interface AzureSecretInfo extends CommonInfo {
  readonly kind: 'azure'
  readonly account: string
  readonly signsWith: 'account key' | 'shared access signature'
  /** When a shared access signature ends; undefined: it does not, or a policy of the container says it. */
  readonly expiresMs?: number
}

/** What anybody may see of a secret. */
export type SecretInfo = S3SecretInfo | GcsSecretInfo | AzureSecretInfo

/** The whole of it, for the driver that signs with it. Never logged, never answered. */
export interface OpenSecret {
  readonly info: SecretInfo
  readonly credentials: Credentials
}

/** What the URL of a target may take from its secret. A signature of Azure's must not reach an account of that name in another cloud. */
export function hintOf(info: SecretInfo): SecretHint {
  const { name, kind, endpoint } = info
  if (info.kind !== 'azure') return { name, kind, endpoint }
  return { name, kind, account: info.account, endpoint: endpoint ?? defaultAzureEndpoint(info.account) }
}

const DAY_MS = 24 * 60 * 60 * 1000
/** Time enough for somebody to make another. */
const EXPIRY_WARNING_MS = 14 * DAY_MS

/** What to say about the end of a secret: that it is over, or near; undefined when neither. */
export function expiryOf(
  info: SecretInfo,
  nowMs: number,
): { readonly over: boolean; readonly text: string } | undefined {
  const endsMs = info.kind === 'azure' ? info.expiresMs : undefined
  if (endsMs === undefined || endsMs - nowMs > EXPIRY_WARNING_MS) return undefined
  const over = endsMs <= nowMs
  const when = `${over ? 'expired' : 'expires'} on ${new Date(endsMs).toISOString().replace('.000Z', 'Z')}`
  const text = `the shared access signature of secret ${info.name} ${when}: give it a new one with sluice secret update ${info.name} --sas -`
  return { over, text }
}
