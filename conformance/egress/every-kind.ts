/** Every kind of store that is to be had here, and a Sluice that may push to them: what suites over all kinds begin with. */
import type { S3Client } from '@aws-sdk/client-s3'
import { openPushing, type Pushing } from './pushing.ts'
import { connect } from './s3.ts'
import { missingStore, type Store, startStore } from './stores.ts'

export const KINDS = ['sluice', 'moto', 'gcs', 'azure'] as const

/** Kind → why it can't be started here; undefined where it can. */
export const missing = new Map<string, string | undefined>()
for (const kind of KINDS) missing.set(kind, await missingStore(kind))

export interface EveryKind {
  /** By kind. */
  readonly stores: ReadonlyMap<string, Store>
  readonly source: Pushing
  /** At the source. */
  readonly s3: S3Client
  close(): Promise<void>
}

/** Each store with the bucket `results`, its credentials kept as a secret that is called like the kind. */
export async function openEveryKind(): Promise<EveryKind> {
  const stores = new Map<string, Store>()
  const stopAll = async () => {
    for (const store of stores.values()) await store.stop()
  }
  try {
    for (const kind of KINDS) if (missing.get(kind) === undefined) stores.set(kind, await startStore(kind))
    const source = await openPushing([...stores.values()])
    const s3 = connect(source.server)
    const close = async () => {
      s3.destroy()
      await source.close()
      await stopAll()
    }
    for (const [kind, store] of stores) await source.keepSecret(kind, store.secret)
    return { stores, source, s3, close }
  } catch (error) {
    await stopAll()
    throw error
  }
}
