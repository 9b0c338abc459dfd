import { systemClock } from '../../kernel/index.ts'
import type { GcsCredentials } from '../credentials.ts'
import { openGcsStore } from '../gcs/gcs-store.ts'
import type { ObjectStore } from '../object-store.ts'
import type { GcsTarget } from '../target.ts'
import { createTargetGuard, type TargetGuard } from '../target-guard.ts'

/** How a test reaches a bucket; without `endpoint` it is Google's own. */
export interface TestGcsOptions {
  readonly endpoint?: string
  readonly credentials: GcsCredentials | undefined
  readonly bucket?: string
  readonly folder?: string
  /** Lets all of loopback through, unless it is said. */
  readonly guard?: TargetGuard
}

/** The driver with short pauses. */
export function openTestGcs({
  endpoint,
  credentials,
  bucket = 'bucket',
  folder = '',
  guard,
}: TestGcsOptions): ObjectStore {
  const place = folder === '' ? bucket : `${bucket}/${folder}`
  const target: GcsTarget = {
    kind: 'gcs',
    endpoint,
    bucket,
    folder,
    url: `gs://${place}`,
    identity: endpoint === undefined ? `gs://${place}` : `${endpoint}/${place}`,
  }
  return openGcsStore({
    target,
    credentials,
    guard: guard ?? createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
}
