/** Numbers and times as people read them, in the style of Pachyderm's tables. */

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** `Less than a second`, `3 seconds`, `About a minute`, `10 minutes`, … (the words of docker's and Pachyderm's go-units). */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / SECOND_MS)
  if (seconds < 1) return 'Less than a second'
  if (seconds < 60) return `${seconds} seconds`
  const minutes = Math.floor(ms / MINUTE_MS)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.round(ms / HOUR_MS)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  const days = Math.floor(ms / DAY_MS)
  if (days < 14) return `${days} days`
  if (days < 60) return `${Math.floor(days / 7)} weeks`
  if (days < 730) return `${Math.floor(days / 30)} months`
  return `${Math.floor(days / 365)} years`
}

/** How long ago an ISO time was; a clock that runs behind makes no negative times. */
export function ago(isoTime: string, nowMs: number): string {
  return `${humanDuration(Math.max(0, nowMs - Date.parse(isoTime)))} ago`
}

/** How long something took, or has taken until now. */
export function between(started: string | null, finished: string | null, nowMs: number): string {
  if (started === null) return '-'
  const end = finished === null ? nowMs : Date.parse(finished)
  return humanDuration(Math.max(0, end - Date.parse(started)))
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** Four significant digits in binary units: `932.2 KiB`, `57.27 KiB`, `0 B`. */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${Number(value.toPrecision(4))} ${units[unit]}`
}

/** Columns are at least this wide, and this much wider than what is in them. */
const MIN_COLUMN = 20
const PADDING = 3

/** A table with wide fixed columns; characters that would move a terminal's cursor are shown escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(printable))]
  const widths = head.map((_, column) =>
    Math.max(MIN_COLUMN, ...cells.map((row) => columnsOf(row[column] ?? '') + PADDING)),
  )
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - columnsOf(cell))).join('')
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('')
}

/** `name: value` lines, the values in one column. */
export function details(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 2
  return pairs
    .map(([name, value]) => `${`${name}:`.padEnd(width)}${printableLines(value)}`.trimEnd())
    .join('\n')
    .concat('\n')
}

/** Control characters (they could be in a file's name) as `\x1b`, so that no name can write to the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** The same for a text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

function columnsOf(text: string): number {
  return [...text].length
}

/** Cuts a text for one cell of a table. */
export function shorten(text: string, length: number): string {
  const [first = ''] = text.split('\n', 1)
  return first.length <= length ? first : `${first.slice(0, length - 1)}…`
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }

/** `90`, `90s`, `1m30s`, `2h` in milliseconds, or undefined; a bare number is in seconds. */
export function parseDuration(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * SECOND_MS)
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  const pieces = text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)
  return Math.round(pieces.reduce((sum, [, amount, unit]) => sum + Number(amount) * durationUnits[unit!]!, 0))
}

/** As one would write it: `1m30s`, `250ms`. */
export function exactDuration(ms: number): string {
  let left = ms
  let text = ''
  for (const unit of ['h', 'm', 's', 'ms']) {
    const count = Math.floor(left / durationUnits[unit]!)
    left -= count * durationUnits[unit]!
    if (count > 0) text += `${count}${unit}`
  }
  return text || '0s'
}

/** One word for a POSIX shell, quoted where it must be. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
