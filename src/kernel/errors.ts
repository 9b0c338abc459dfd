/**
 * The base of every error that a caller is meant to tell apart. The domain knows no HTTP: each door (S3, API, CLI) has
 * one exhaustive map from `code` to what it says there. `data` is safe to show to the caller; `cause` is for the log.
 */
export abstract class DomainError extends Error {
  abstract readonly code: string
  readonly data: Readonly<Record<string, unknown>>

  constructor(message: string, data: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.data = data
  }
}

/** The disk (or quota) is full: writes are refused until there is room again, reads go on. */
export class StorageFull extends DomainError {
  readonly code = 'StorageFull'
  constructor(cause?: unknown) {
    super('the storage is full: writes are refused until there is room again, reads go on', {}, cause)
  }
}

/** Stored bytes do not match their own checksum or hash. They are never served. */
export class Corrupt extends DomainError {
  readonly code = 'Corrupt'
  constructor(what: string, data: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(`stored data is damaged: ${what}`, data, cause)
  }
}

/** What the caller sent does not make sense; the message says what is allowed. */
export class InvalidInput extends DomainError {
  readonly code = 'InvalidInput'
}

/** The configuration can't be used; `problems` lists every fault found, not only the first. */
export class InvalidConfig extends DomainError {
  readonly code = 'InvalidConfig'
  constructor(problems: readonly string[]) {
    super(`the configuration has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`, {
      problems,
    })
  }
}

/** The data folder is used by another process. */
export class StoreLocked extends DomainError {
  readonly code = 'StoreLocked'
  constructor(folder: string) {
    super(`${folder} is in use by another process; stop it first, or set SLUICE_DATA to another folder`, { folder })
  }
}

/** The store was written by a newer release. */
export class NewerStore extends DomainError {
  readonly code = 'NewerStore'
  constructor(floor: string, found: number, known: number) {
    super(
      `the store's ${floor} format is version ${found}, this release knows up to ${known}: use the newer release that wrote it`,
      { floor, found, known },
    )
  }
}

/** Marks a branch of a closed union as impossible; the compiler proves it. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}

/** What an error has to say, whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The errno code of a system error (`ENOENT`), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : undefined
}
