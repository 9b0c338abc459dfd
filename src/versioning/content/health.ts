import { DomainError, errnoOf, type Log, StorageFull } from '../../kernel/index.ts'

/** Whether the store can be written to: shared by all that write. */
export class Health {
  /** True from a failure for want of room until a write succeeds again. */
  full = false
  #stopped: Error | undefined
  readonly #log: Log
  readonly #onFatal: (error: Error) => void

  constructor(log: Log, onFatal: (error: Error) => void) {
    this.#log = log
    this.#onFatal = onFatal
  }

  /** Throws if the disk failed before: what it holds since then is not known. */
  check(): void {
    if (this.#stopped) throw this.#stopped
  }

  succeeded(): void {
    if (this.full) this.#log.info('there is room again: writes are accepted')
    this.full = false
  }

  /**
   * What to throw for a failed write, flush or cut of a pack. No room is StorageFull. After anything else the kernel may have dropped
   * pages and will report the next flush as fine, so nothing is guessed: the store stops.
   */
  packFailed(error: unknown): Error {
    return this.#asFull(error) ?? (error instanceof DomainError ? error : this.#stop(error))
  }

  /** What to throw where a pack could not be made. Only a disk that fails stops the store; too many open files do not. */
  createFailed(error: unknown): Error {
    const full = this.#asFull(error)
    if (full) return full
    if (errnoOf(error) === 'EIO') return this.#stop(error)
    return error instanceof Error ? error : new Error(String(error))
  }

  #asFull(error: unknown): StorageFull | undefined {
    const code = errnoOf(error)
    if (!(error instanceof StorageFull) && code !== 'ENOSPC' && code !== 'EDQUOT') return undefined
    if (!this.full) this.#log.error({ err: error }, 'the storage is full: writes are refused until there is room')
    this.full = true
    return error instanceof StorageFull ? error : new StorageFull(error)
  }

  #stop(cause: unknown): Error {
    if (this.#stopped) return this.#stopped
    const error = new Error('the disk failed under a write: nothing more is accepted until a restart', { cause })
    this.#stopped = error
    this.#log.fatal({ err: error }, error.message)
    this.#onFatal(error)
    return error
  }
}
