/** Milliseconds per unit of a Go duration (https://pkg.go.dev/time#ParseDuration). */
const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** Timers of Node end at 2^31 - 1 ms; 24 days are enough for a time limit. */
const MAX_DURATION_MS = 24 * 24 * 3_600_000

/** Reads `30s`, `1m30s`, `1.5h`. Undefined if it is not one, not more than nothing, or longer than 24 days. */
export function parseDurationMs(text: string): number | undefined {
  if (
    text.length > 64 ||
    !/^(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$/u.test(text)
  ) {
    return undefined
  }
  let totalMs = 0
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/gu)) {
    totalMs += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN)
  }
  const roundedMs = Math.ceil(totalMs)
  return roundedMs > 0 && roundedMs <= MAX_DURATION_MS ? roundedMs : undefined
}
