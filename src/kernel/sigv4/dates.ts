const isoBasic = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/

/** Requests come many to a second, and say the same time. */
let lastText = ''
let lastMs = 0

/** `20130524T000000Z` → milliseconds since 1970; undefined if it is not such a time. */
export function parseIsoBasic(text: string): number | undefined {
  if (text === lastText) return lastMs
  const ms = parse(text)
  if (ms !== undefined) {
    lastText = text
    lastMs = ms
  }
  return ms
}

function parse(text: string): number | undefined {
  const match = isoBasic.exec(text)
  if (!match) return undefined
  const [, year, month, day, hour, minute, second] = match
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  // Date.UTC carries an overflow on (the 31st of February is in March): such a time is none.
  return formatIsoBasic(ms) === text ? ms : undefined
}

export function formatIsoBasic(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

/** An HTTP date (`Fri, 24 May 2013 00:00:00 GMT`) to milliseconds; undefined if it is none. */
export function parseHttpDate(text: string): number | undefined {
  if (!/^[A-Z][a-z]{2,8}, ?[0-9A-Za-z :+-]{10,40}$/.test(text)) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
