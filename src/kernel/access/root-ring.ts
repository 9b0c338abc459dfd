import { createHash } from 'node:crypto'
import type { AccessKey, KeyRing } from './model.ts'

/** A ring with the one key that a store is made with, where no users are kept. */
export function rootKeyRing(rootKey: { readonly accessKeyId: string; readonly secretAccessKey: string }): KeyRing {
  const key: AccessKey = Object.freeze({
    accessKeyId: rootKey.accessKeyId,
    secretAccessKey: rootKey.secretAccessKey,
    name: 'root',
    canonicalId: createHash('sha256').update(`sluice-user:${rootKey.accessKeyId}`).digest('hex'),
    admin: true,
  })
  return {
    find: async (accessKeyId, sessionToken) =>
      accessKeyId === key.accessKeyId && sessionToken === undefined ? key : undefined,
  }
}
