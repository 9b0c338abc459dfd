import { KIB, MIB } from '../kernel/index.ts'

/** Pushes that run at once, each of another owner or to another place. */
export const MAX_PUSHES = 4
/** Files on their way at once in one push, unless its settings say otherwise: small ones are all latency. */
export const PARALLEL_FILES = 16
/** Bodies on their way at once to one target, over all pushes; as many connections as a store is opened with. */
export const MAX_TARGET_REQUESTS = 32
/** Parts of one file on their way at once: while some are sent, others are read and hashed. */
export const PARALLEL_PARTS = 8
/** Above this a file goes in parts, so that a crash or a broken connection costs one part and not all of it. */
export const MAX_SINGLE_PUT_BYTES = 16 * MIB
/** The smallest part; larger where a file would have more than 10,000 of them. */
export const PART_BYTES = 8 * MIB
/** Google's uploads go on at multiples of this. */
export const PART_GRAIN_BYTES = 256 * KIB
/** Bytes of parts in memory at once, over all pushes. One larger part goes alone. */
export const PART_MEMORY_BYTES = 64 * MIB
/** Up to this size a body is read at once; the content store reads no more in one piece. */
export const MAX_BUFFERED_BYTES = MIB
/** Rows of one statement of the ledger. */
export const LEDGER_BATCH = 500
/** So many files that may have arrived are looked for in a listing before each is asked for. */
export const LIST_FROM_FILES = 16
/** A page of 1,000 takes about as long as so many questions for one file each. */
export const MIN_FILES_PER_LIST_PAGE = 50
/** Objects of others at a target that a comparison names; the rest is only counted. */
export const MAX_FOREIGN_NAMED = 100
/** Objects that a comparison reads back at once. */
export const READ_BACK_FILES = 4
/** Keys of one bulk delete (S3 takes 1,000). */
export const DELETE_BATCH = 1000
/** S3: user metadata, names and values together. */
export const METADATA_BYTES = 2048
/** A dead process's push is taken up by another after this. */
export const LEASE_MS = 30_000
export const RENEW_EVERY_MS = 10_000
/** How often the counters of a push that runs are kept, if they have changed. */
export const PROGRESS_EVERY_MS = 1_000
/** Pushes that were asked for by hand and wait. */
export const MAX_WAITING_BY_HAND = 1_000
/** Wakes the worker for what no notification tells: leases that ran out. */
export const TICK_MS = 2_000
/** A push that keeps killing its process must not go on for ever. */
export const MAX_PUSH_ATTEMPTS = 20
/** Pauses of half a minute in all, more or less: a target that restarts is waited for. */
export const DEFAULT_RETRY = { attempts: 12, firstDelayMs: 250, maxDelayMs: 10_000 } as const
/** What was told to stop and does not is waited for no longer: its target may never answer. */
export const ABANDON_AFTER_MS = 20_000
/** After this no further try begins: against a target that takes every connection and answers none. */
export const RETRY_FOR_MS = 5 * 60_000
