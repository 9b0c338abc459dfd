import { InvalidInput } from '../../kernel/index.ts'
import { SERVICES } from '../urls/hint.ts'
import { readAzure } from './azure.ts'
import { readGcs } from './gcs.ts'
import type { CheckedSecret, ReadSecret, SecretInput, SecretKind, SecretParts } from './parts.ts'
import { readS3 } from './s3.ts'

const partsOf: Readonly<Record<SecretKind, readonly (keyof SecretParts)[]>> = {
  s3: ['accessKeyId', 'secretAccessKey', 'region', 'endpoint'],
  gcs: ['serviceAccount', 'endpoint'],
  azure: ['account', 'accountKey', 'sas', 'connectionString', 'endpoint'],
}

/** Throws InvalidInput that lists all that is wrong, and never says what a part was. */
export function checkSecretInput({ name, ...parts }: SecretInput): CheckedSecret {
  return checked(parts, [
    ...(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(name)
      ? []
      : [
          'its name is 1 to 63 lower-case letters, digits, dots, dashes and underscores, with a letter or digit at both ends',
        ]),
  ])
}

/** As `checkSecretInput`, for a secret that has its name already. */
export function checkSecretParts(parts: SecretParts): CheckedSecret {
  return checked(parts, [])
}

function checked(parts: SecretParts, before: readonly string[]): CheckedSecret {
  const kind = parts.kind ?? 's3'
  const problems = [...before]
  for (const [part, value] of Object.entries(parts)) {
    if (part === 'kind' || value === undefined || partsOf[kind].includes(part as keyof SecretParts)) continue
    problems.push(
      `${part} is no part of a secret for ${SERVICES[kind]}${parts.kind === undefined ? ': say its kind' : ''}`,
    )
  }
  const found = readers[kind](parts, problems)
  if (problems.length > 0 || found === undefined) {
    throw new InvalidInput(`the secret can't be kept: ${problems.join('; ')}`, { problems })
  }
  return found
}

const readers: Readonly<Record<SecretKind, ReadSecret>> = { s3: readS3, gcs: readGcs, azure: readAzure }
