import type { ObjectStore } from '../cloud/index.ts'
import type { Database, Transaction } from '../kernel/index.ts'
import type { ContentStore, FileEntry } from '../versioning/index.ts'
import type { Patience } from './again.ts'
import type { Throttle } from './bandwidth.ts'
import type { Lane } from './lanes.ts'
import type { Ledger } from './ledger.ts'
import type { PartMemory } from './limiter.ts'
import { objectMetadata } from './metadata.ts'
import type { ClaimedPush } from './pushes.ts'

/** Where the bytes of what is sent come from. */
export type SentContent = Pick<ContentStore, 'read' | 'lend' | 'readBytes'>

/** What a transfer works with. */
export interface TransferParts extends Patience {
  readonly push: ClaimedPush
  readonly store: ObjectStore
  readonly content: SentContent
  readonly ledger: Ledger
  readonly db: Database
  readonly memory: PartMemory
  /** What the target bears at once. */
  readonly lane: Lane
  /** How fast bytes may go. */
  readonly throttle: Throttle
  /** Throws StalePush if the push is not this attempt's any more. */
  readonly renew: (tx: Transaction) => Promise<void>
  /** Bytes that have arrived. `before`: an earlier try had sent them. */
  readonly onBytes: (bytes: number, before?: boolean) => void
}

/** A file to be put at the target. */
export interface Outgoing {
  readonly entry: FileEntry
  readonly fingerprint: string
  /** A push that died had it on its way: the target is asked before it is sent again. */
  readonly mayBeThere: boolean
}

/** How the object is described at the target. */
export function description(entry: FileEntry, push: ClaimedPush) {
  const { contentType } = entry.attributes
  return { ...(contentType === undefined ? {} : { contentType }), metadata: objectMetadata(entry, push) }
}
