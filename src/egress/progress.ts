import type { Counts } from './pushes.ts'

/** How far back a rate looks. */
const WINDOW_MS = 15_000
/** A second between samples gives a few more than the window holds. */
const MAX_SAMPLES = 64
/** A month. What would take longer is not known rather than so slow. */
const MAX_SECONDS_LEFT = 30 * 86_400

/** How fast a push goes. */
export interface Speed {
  readonly bytesPerSecond: number
  readonly filesPerSecond: number
}

interface Sample {
  readonly atMs: number
  readonly bytes: number
  readonly files: number
}

/** The speed of a push over the last seconds. Times are of a clock that only goes forward. */
export class Rate {
  readonly #samples: Sample[] = []

  add(atMs: number, { bytesDone, filesDone }: Pick<Counts, 'bytesDone' | 'filesDone'>): void {
    this.#samples.push({ atMs, bytes: bytesDone, files: filesDone })
    // One that is older than the window is kept: the window begins there or later.
    while (
      this.#samples.length > MAX_SAMPLES ||
      (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - WINDOW_MS)
    ) {
      this.#samples.shift()
    }
  }

  /** Undefined before there is anything to compare. */
  get speed(): Speed | undefined {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (!first || !last || last.atMs <= first.atMs) return undefined
    return speedOf(last.bytes - first.bytes, last.files - first.files, last.atMs - first.atMs)
  }
}

/** A part that is sent again takes back what it had counted, so that a difference can be below nothing. */
export function speedOf(bytes: number, files: number, ms: number): Speed {
  const per = (count: number) => (ms > 0 ? Math.max(0, (count * 1000) / ms) : 0)
  return { bytesPerSecond: Math.round(per(bytes)), filesPerSecond: per(files) }
}

/**
 * How long the rest takes at this speed: small files are all latency and large ones all bytes, so that whichever of the two takes
 * longer decides. Undefined while nothing moves, or nobody has counted yet what there is to do.
 */
export function secondsLeft(counts: Counts, { bytesPerSecond, filesPerSecond }: Speed): number | undefined {
  if (counts.filesTotal === 0) return undefined
  const bytesLeft = Math.max(0, counts.bytesTotal - counts.bytesDone)
  const filesLeft = Math.max(0, counts.filesTotal - counts.filesSkipped - counts.filesDone)
  if (bytesLeft === 0 && filesLeft === 0) return 0
  const seconds = Math.max(
    bytesPerSecond > 0 && bytesLeft > 0 ? bytesLeft / bytesPerSecond : 0,
    filesPerSecond > 0 && filesLeft > 0 ? filesLeft / filesPerSecond : 0,
  )
  // Nothing of what is left moves, or only the small files before the large ones' first parts have.
  return seconds === 0 || seconds > MAX_SECONDS_LEFT ? undefined : Math.ceil(seconds)
}
