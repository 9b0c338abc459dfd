import { MIB } from '../kernel/index.ts'

/** Pushes that run at once, each of another pipeline. */
export const MAX_PUSHES = 4
/** Files on their way at once in one push: small ones are all latency, and stores bear far more. */
export const PARALLEL_FILES = 8
/** Above this a file goes in parts, so that a crash or a broken connection costs one part and not all of it. */
export const MAX_SINGLE_PUT_BYTES = 16 * MIB
/** The smallest part; larger where a file would have more than 10,000 of them. */
export const PART_BYTES = 16 * MIB
/** Bytes of parts in memory at once, over all pushes. One larger part goes alone. */
export const PART_MEMORY_BYTES = 64 * MIB
/** Up to this size a body is read at once; the content store reads no more in one piece. */
export const MAX_BUFFERED_BYTES = MIB
/** Rows of one statement of the ledger. */
export const LEDGER_BATCH = 500
/** Keys of one bulk delete (S3 takes 1,000). */
export const DELETE_BATCH = 1000
/** S3: user metadata, names and values together. */
export const METADATA_BYTES = 2048
/** A dead process's push is taken up by another after this. */
export const LEASE_MS = 30_000
export const RENEW_EVERY_MS = 10_000
/** Wakes the worker for what no notification tells: leases that ran out. */
export const TICK_MS = 2_000
/** A push that keeps killing its process must not go on for ever. */
export const MAX_PUSH_ATTEMPTS = 20
/** About half a minute in all: a target that restarts is waited for. */
export const DEFAULT_RETRY = { attempts: 8, firstDelayMs: 250, maxDelayMs: 10_000 } as const
