import { humanSize } from './format.ts'
import type { Output } from './session.ts'

/** Less than this is over before anybody could look. */
const MIN_BYTES = 1024 * 1024
const REDRAW_MS = 100
const BAR_COLUMNS = 24

/** A bar on a terminal's standard error; nothing at all elsewhere. */
export class Progress {
  readonly #stream: Output
  readonly #now: () => number
  readonly #label: string
  readonly #total: number | undefined
  readonly #startedMs: number
  #done = 0
  #drawnMs = 0
  #shown = false

  /** `total` is undefined of a pipe. */
  constructor(options: { stream: Output; now: () => number; label: string; total: number | undefined }) {
    this.#stream = options.stream
    this.#now = options.now
    this.#label = options.label
    this.#total = options.total
    this.#startedMs = options.now()
  }

  add(bytes: number): void {
    this.#done += bytes
    const now = this.#now()
    if (!this.#stream.isTTY || (this.#total ?? this.#done) < MIN_BYTES || now - this.#drawnMs < REDRAW_MS) return
    this.#drawnMs = now
    this.#shown = true
    const line = progressLine({
      label: this.#label,
      done: this.#done,
      total: this.#total,
      elapsedMs: now - this.#startedMs,
      // Some terminals say 0 when they don't know.
      columns: this.#stream.columns || 80,
    })
    this.#stream.write(`\r${line}\x1b[K`)
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#shown) this.#stream.write('\r\x1b[K')
    this.#shown = false
  }
}

export function progressLine(state: {
  label: string
  done: number
  total: number | undefined
  elapsedMs: number
  columns: number
}): string {
  const { label, done, total, elapsedMs, columns } = state
  const rate = elapsedMs > 0 ? `${humanSize(Math.round((done * 1000) / elapsedMs))}/s` : ''
  if (total === undefined) return fit(label, `${humanSize(done)}  ${rate}`, columns)
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.round(share * BAR_COLUMNS)
  const bar = `[${'='.repeat(filled)}${' '.repeat(BAR_COLUMNS - filled)}]`
  const figures = `${String(Math.floor(share * 100)).padStart(3)}% ${bar} ${humanSize(done)} of ${humanSize(total)}  ${rate}`
  return fit(label, figures, columns)
}

/** The figures matter more than the name, which gives way on a narrow terminal. */
function fit(label: string, figures: string, columns: number): string {
  const room = columns - figures.length - 3
  if (room < 4) return figures.slice(0, Math.max(0, columns - 1))
  const name = label.length <= room ? label : `…${label.slice(label.length - room + 1)}`
  return `${name}  ${figures}`
}
