import type { EgressJson, JobEgressJson } from '../api/contract.ts'
import { exactDuration, humanSize, printable } from './format.ts'
import type { Output } from './session.ts'

/** How far a push is, in one line: `340 of 2000 file(s), 1.2 GiB of 9 GiB, 45 MiB/s, 2m10s left`. */
export function describeProgress(egress: JobEgressJson): string {
  if (egress.state === 'waiting') return 'waits for its turn'
  if (egress.filesTotal === 0 && egress.state === 'running') return 'looks at what there is to do'
  const toSend = egress.filesTotal - egress.filesSkipped
  const parts = [
    `${egress.filesDone} of ${toSend} file(s)`,
    `${humanSize(egress.bytesDone)} of ${humanSize(egress.bytesTotal)}`,
  ]
  if (egress.filesSkipped > 0) parts.push(`${egress.filesSkipped} unchanged`)
  if (egress.filesDeleted > 0) parts.push(`${egress.filesDeleted} deleted`)
  if (egress.bytesPerSecond !== undefined && egress.bytesDone > 0) parts.push(`${humanSize(egress.bytesPerSecond)}/s`)
  if (egress.secondsLeft !== undefined && egress.secondsLeft > 0) {
    parts.push(`${exactDuration(egress.secondsLeft * 1000)} left`)
  }
  return parts.join(', ')
}

/** Why a running push does not get on: `the target is busy (4th time, for 12s)`. */
export function describeTrying({ trying }: JobEgressJson, nowMs: number): string | undefined {
  if (!trying) return undefined
  const { reason, times, since } = trying
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(since)) / 1000))
  return `${reason} (${ordinal(times)} time, for ${exactDuration(seconds * 1000)})`
}

function ordinal(count: number): string {
  const teens = count % 100 >= 11 && count % 100 <= 13
  return `${count}${(!teens && ['', 'st', 'nd', 'rd'][count % 10]) || 'th'}`
}

/** A line on a terminal's standard error that is drawn again and again; nothing elsewhere. */
export class ProgressLine {
  readonly #stream: Output
  #shown = false

  constructor(stream: Output) {
    this.#stream = stream
  }

  show(egress: EgressJson, nowMs: number): void {
    if (!this.#stream.isTTY) return
    this.#shown = true
    // Some terminals say 0 when they don't know.
    const columns = this.#stream.columns || 80
    const trying = describeTrying(egress, nowMs)
    const again = trying === undefined ? '' : `, trying again: ${trying}`
    const line = printable(`${egress.url}: ${describeProgress(egress)}${again}`)
    const room = columns - 1
    this.#stream.write(`\r${line.length <= room ? line : `…${line.slice(line.length - room + 1)}`}\x1b[K`)
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown) this.#stream.write('\r\x1b[K')
    this.#shown = false
  }
}
