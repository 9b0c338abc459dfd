import { expiryOf, type SecretInfo } from '../cloud/index.ts'
import type { SecretJson } from './contract.ts'
import { isoTime } from './times.ts'

/** Names every field it passes on, so that a secret part can't slip through. */
export function secretJson(secret: SecretInfo, nowMs: number): SecretJson {
  const expiry = expiryOf(secret, nowMs)
  const common = {
    name: secret.name,
    kind: secret.kind,
    ...(secret.endpoint !== undefined && { endpoint: secret.endpoint }),
    created: isoTime(secret.createdMs),
    updated: isoTime(secret.updatedMs),
    ...(expiry && { warning: expiry.text }),
  }
  switch (secret.kind) {
    case 's3':
      return {
        ...common,
        kind: 's3',
        accessKeyId: secret.accessKeyId,
        ...(secret.region !== undefined && { region: secret.region }),
      }
    case 'gcs':
      return {
        ...common,
        kind: 'gcs',
        clientEmail: secret.clientEmail,
        ...(secret.privateKeyId !== undefined && { privateKeyId: secret.privateKeyId }),
      }
    case 'azure':
      return {
        ...common,
        kind: 'azure',
        account: secret.account,
        signsWith: secret.signsWith,
        ...(secret.expiresMs !== undefined && { expires: isoTime(secret.expiresMs) }),
      }
  }
}
