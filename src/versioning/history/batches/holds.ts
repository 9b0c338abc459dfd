/** While a scratch folder was written to within this time, a job is at work and its branch's batch waits for it. */
export const HOLD_MS = 10 * 60_000
/** A job that has deleted what it will write again gets this idle time; so does one that has made the folder it will fill. */
export const REWRITE_IDLE_MS = 5 * 60_000
/** A job that has emptied its scratch folder has this time for its `_SUCCESS`, or for going on. */
const LAST_WORD_MS = 5_000
/** Scratch folders remembered per branch; of more, those longest quiet are forgotten. */
const MAX_AREAS = 256

/**
 * What holds the batch of one branch open besides writes in flight: jobs that are at work in scratch folders, that have deleted what
 * they are going to write, or have made a folder for it and keep the files elsewhere until they are done (the directory committer). The
 * end of a job is a `_SUCCESS` in the folder that it writes to, or that nothing is left in its scratch folder.
 */
export class Holds {
  /** When each scratch folder was last written to. */
  readonly #areas = new Map<string, number>()
  #rewriteFromMs: number | undefined
  /** How many of the batch's changes are folders that jobs have made. */
  #folders = 0
  /** When the last hold ended, in whatever way: the age of a batch counts from here. */
  #endedMs = Number.NEGATIVE_INFINITY

  /** A scratch folder was written to. */
  touched(area: string, atMs: number): void {
    const known = this.#areas.get(area)
    this.#areas.delete(area)
    this.#areas.set(area, Math.max(atMs, known ?? atMs))
    if (this.#areas.size > MAX_AREAS) this.#areas.delete(this.#areas.keys().next().value!)
  }

  /** A job says that it ended well, and wrote to this folder: '' for the whole branch. */
  succeeded(folder: string, atMs: number): void {
    for (const area of this.#areas.keys()) if (area.startsWith(folder)) this.#areas.delete(area)
    this.#rewriteFromMs = undefined
    this.#folders = 0
    this.#endedMs = atMs
  }

  /**
   * Nothing is left in a scratch folder: its job has cleaned up behind it, whether it ended well or not. Hadoop's committer does that
   * right before it writes `_SUCCESS`; Spark's dynamic overwrite writes none.
   */
  emptied(area: string, atMs: number): void {
    if (!this.#areas.has(area)) return
    this.#areas.set(area, atMs + LAST_WORD_MS - HOLD_MS)
    if ([...this.#areas.values()].every((touchedMs) => touchedMs + HOLD_MS <= atMs + LAST_WORD_MS))
      this.#rewriteFromMs = undefined
  }

  /** A job has deleted files that it may be about to write again. */
  rewriting(atMs: number): void {
    this.#rewriteFromMs = atMs
  }

  /** A job has made a folder: one of the batch's changes. */
  preparing(): void {
    this.#folders++
  }

  /** The batch was sealed: what was said about it is over, but jobs that are at work still are. */
  sealed(): void {
    this.#rewriteFromMs = undefined
    this.#folders = 0
  }

  /** Until when the batch is held if nothing more happens; undefined if it is not. */
  heldUntilMs(nowMs: number): number | undefined {
    let untilMs: number | undefined
    for (const [area, atMs] of this.#areas) {
      const endMs = atMs + HOLD_MS
      if (endMs > nowMs) {
        untilMs = Math.max(untilMs ?? endMs, endMs)
        continue
      }
      this.#areas.delete(area)
      this.#endedMs = Math.max(this.#endedMs, endMs)
    }
    return untilMs
  }

  /** The scratch folder that was written to last, if the batch is held. */
  heldBy(nowMs: number): string | undefined {
    if (this.heldUntilMs(nowMs) === undefined) return undefined
    return [...this.#areas].reduce((a, b) => (b[1] >= a[1] ? b : a))[0]
  }

  get endedMs(): number {
    return this.#endedMs
  }

  /**
   * The time that has to pass without a write, if a job asks for another than the rules have: it has deleted files, or made folders
   * and nothing else in this batch of so many changes.
   */
  idleMs(nowMs: number, changes: number): number | undefined {
    const onlyFolders = this.#folders > 0 && this.#folders === changes
    const rewrites = this.#rewriteFromMs !== undefined && nowMs - this.#rewriteFromMs < REWRITE_IDLE_MS
    return onlyFolders || rewrites ? REWRITE_IDLE_MS : undefined
  }

  /** Whether the next write may bring its end nearer. */
  get hasFolders(): boolean {
    return this.#folders > 0
  }

  isQuiet(nowMs: number): boolean {
    return this.heldUntilMs(nowMs) === undefined && this.#rewriteFromMs === undefined
  }
}
