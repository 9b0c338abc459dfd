import { readEndpoint } from './endpoint.ts'
import type { CheckedSecret, SecretParts } from './parts.ts'

/** Reads the parts of a secret for S3; what is wrong is added to `problems`, and never says what a part was. */
export function readS3(parts: SecretParts, problems: string[]): CheckedSecret | undefined {
  const { accessKeyId, secretAccessKey, region } = parts
  // It travels in an HTTP header.
  if (accessKeyId === undefined || !/^[\x21-\x7e]{1,256}$/.test(accessKeyId)) {
    problems.push('its access key is 1 to 256 printable characters without spaces')
  }
  if (secretAccessKey === undefined || !/^(?=\S)[^\p{Cc}]{1,1024}(?<=\S)$/u.test(secretAccessKey)) {
    problems.push('its secret key is 1 to 1024 characters without line breaks, and without spaces at its ends')
  }
  if (region && !/^[a-z0-9-]{1,64}$/.test(region)) problems.push('its region is written like eu-central-1')
  const endpoint = readEndpoint(parts.endpoint, problems)
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
  return {
    kind: 's3',
    identity: accessKeyId,
    sealed: secretAccessKey,
    ...(endpoint ? { endpoint } : {}),
    ...(region ? { region } : {}),
    details: {},
  }
}
