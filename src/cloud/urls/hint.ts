import type { Credentials } from '../credentials.ts'
import type { RawUrl } from './text.ts'
import { invalid } from './text.ts'

/** What a named secret says about where it belongs. */
export interface SecretHint {
  /** Its name, for messages. */
  readonly name?: string | undefined
  /** Undefined: any. */
  readonly kind?: Credentials['kind'] | undefined
  /** The only endpoint that it is ever used for. */
  readonly endpoint?: string | undefined
  /** Azure's storage account. */
  readonly account?: string | undefined
}

/** What the kinds of targets and secrets are called. */
export const SERVICES: Readonly<Record<Credentials['kind'], string>> = {
  s3: 'Amazon S3 and its like',
  gcs: 'Google Cloud Storage',
  azure: 'Azure Blob Storage',
}

/** Throws InvalidInput for a secret of another service. */
export function checkKind({ text }: RawUrl, kind: Credentials['kind'], secret: SecretHint): void {
  if (secret.kind === undefined || secret.kind === kind) return
  const named = secret.name === undefined ? 'its secret' : `secret ${secret.name}`
  throw invalid(text, `is a URL of ${SERVICES[kind]}, but ${named} is for ${SERVICES[secret.kind]}`)
}
