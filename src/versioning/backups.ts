import type { ObjectStore } from '../cloud/index.ts'

/** Backups of the whole store, made while it is used. A place holds those of one store; they share what they have in common. */
export interface Backups {
  /**
   * Copies the store as it is at one moment to a place (a folder, or a part of an object store that holds nothing else); what an
   * earlier backup there has is not sent again. Nothing is removed from the store meanwhile. If it ends early nothing is lost, and what
   * was sent is not sent again. The place is the caller's to close. Throws BackupPlaceRefused, BackupRunning, Corrupt, StoreError.
   */
  create(place: ObjectStore, options?: BackupOptions): AsyncIterable<BackupEvent>
  /** The oldest first. Throws BackupPlaceRefused. */
  list(place: ObjectStore): Promise<readonly BackupInfo[]>
  /** Compares what is at the place with what a backup (the newest, or all) consists of, every byte of it or (`quick`) names and sizes. */
  verify(place: ObjectStore, options?: VerifyBackupOptions): AsyncIterable<VerifyBackupEvent>
  /**
   * Removes backups: those named, or all but the newest `keep`; then what no backup that is left consists of. Throws BackupNotFound,
   * BackupPlaceRefused, BackupRunning.
   */
  remove(
    place: ObjectStore,
    which: { readonly ids: readonly string[] } | { readonly keep: number },
  ): Promise<RemovedBackups>
}

export interface BackupOptions {
  /** Leaves out root-key.json and secrets.key, without which a restored store can't open users' keys and secrets. */
  readonly withoutKeys?: boolean
  /** The place holds backups of the store that this one was restored from: go on there. */
  readonly takeOver?: boolean
  readonly signal?: AbortSignal
}

/** How far a backup is, and in the end what was made. */
export type BackupEvent = BackupProgress | BackupDone

export interface BackupProgress {
  readonly kind: 'progress'
  /** Bytes that the backup consists of, so far and in all. */
  readonly bytesDone: number
  readonly bytesTotal: number
  /** Those that were not at the place yet. */
  readonly bytesSent: number
}

export interface BackupDone {
  readonly kind: 'done'
  readonly backup: BackupInfo
  readonly bytesSent: number
}

/** A backup as it is listed. */
export interface BackupInfo {
  readonly id: string
  readonly createdMs: number
  readonly store: string
  /** Of everything in it; several backups share most of it. */
  readonly bytes: number
  readonly packs: number
  /** Whether the files of keys are in it. */
  readonly keys: boolean
}

export interface VerifyBackupOptions {
  /** One backup; left out, the newest. */
  readonly id?: string
  readonly all?: boolean
  /** Only names and sizes, without reading. */
  readonly quick?: boolean
  readonly signal?: AbortSignal
}

/** A fault, progress, or the end. */
export type VerifyBackupEvent =
  | { readonly kind: 'fault'; readonly backup: string; readonly object: string; readonly why: string }
  | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number }
  | {
      readonly kind: 'done'
      readonly backups: number
      readonly objects: number
      readonly bytes: number
      readonly faults: number
    }

export interface RemovedBackups {
  readonly backups: readonly string[]
  readonly objects: number
  readonly bytes: number
}
