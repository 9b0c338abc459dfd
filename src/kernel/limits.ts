/** Every bound of the system in one place, each with where it comes from. */

/** Bytes. */
export const KIB = 1024
/** Bytes. */
export const MIB = 1024 * KIB
/** Bytes. */
export const GIB = 1024 * MIB

/** AWS: a key is at most 1,024 bytes of UTF-8. */
export const MAX_PATH_BYTES = 1024
/** AWS: user metadata, names and values together. */
export const MAX_METADATA_BYTES = 2 * KIB
/** AWS: the largest object by one PUT, and the largest part. */
export const MAX_PUT_BYTES = 5 * GIB
/** AWS: part numbers are 1 to 10,000. */
export const MAX_PARTS = 10_000
/** AWS: every part but the last. */
export const MIN_PART_BYTES = 5 * MIB
/** AWS: one page of ListObjects, ListParts, ListMultipartUploads. */
export const MAX_LIST_KEYS = 1000
/** AWS: one DeleteObjects. */
export const MAX_DELETE_KEYS = 1000
/** Contents up to this size stand in the entry itself: a record in a pack costs more than they do. */
export const MAX_INLINE_BYTES = 512
/** Up to this size an object is one chunk; larger ones are cut into chunks that are this long on average. */
export const CHUNK_BYTES = MIB
/** A full commit id is 32 digits; bucket names have 63 characters, so prefixes must do. */
export const MIN_COMMIT_PREFIX = 8
/** AWS: the longest bucket there is. Tools make such names, and a repo is a bucket. */
export const MAX_REPO_NAME = 63
/** Up to this length `<commit prefix>.<repo>` is a bucket name that every client takes; longer ones are warned about. */
export const ROOMY_REPO_NAME = 54
/** What is addressed may be longer than what can be created: a full commit id before a long repo. As long as a DNS name. */
export const MAX_BUCKET_ADDRESS = 255
/** AWS: bucket names. */
export const MAX_BUCKET_NAME = 63
/** How far a signed request's clock may be off (AWS: 15 min). */
export const MAX_CLOCK_SKEW_MS = 15 * 60_000
/** AWS: presigned URLs live at most 7 days. */
export const MAX_PRESIGN_SECONDS = 604_800
/** More than fit into 2 KiB of metadata. Each is looked for among all headers before the signature is known to be right. */
export const MAX_SIGNED_HEADERS = 1000
/** Far more than one process serves; each is a row. */
export const MAX_USERS = 100_000
/** Places that temporary credentials are bound to: a job's inputs and output. They travel with every request. */
export const MAX_GRANTS = 16
/** Proxies allow 8 KiB for all headers together; a presigned URL carries the token too. */
export const MAX_SESSION_TOKEN_CHARACTERS = 4096
/** AWS: role sessions last up to 12 hours. */
export const MAX_SESSION_MS = 12 * 3_600_000
/** Shorter ones would end before they arrive. */
export const MIN_SESSION_MS = 60_000
/** Long enough to bring a new key to every machine. */
export const MAX_ROTATION_GRACE_MS = 7 * 86_400_000
/** Open transactions of one branch: each keeps rows, and what is forgotten must come to somebody's notice. */
export const MAX_TRANSACTIONS = 100
/** The body of a PUT of `.sluice/commit`. */
export const MAX_MESSAGE_BYTES = 4 * KIB
/** A database of tree nodes of 50 GB is written anew within it, at the end of a purge: threads that make trees wait so long for it. */
export const SCRUB_PATIENCE_MS = 10 * 60_000
/** Bytes per second: with less, a file would seem to stand still, and its connection with it. */
export const MIN_EGRESS_BANDWIDTH = KIB
