const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** What `parseByteSize` takes, for messages. */
export const BYTE_SIZE_FORM = 'a number of bytes, as in 50MB, 100MiB or 1048576'

/** A number of bytes, whole or with a unit (`50MB`, `1.5 GiB`); undefined if it is none, or not above 0. */
export function parseByteSize(text: string): number | undefined {
  const match = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})\s*$/.exec(text)
  const unit = UNITS[(match?.[2] ?? '').toUpperCase()]
  if (!match || unit === undefined) return undefined
  const bytes = Math.floor(Number(match[1]) * unit)
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined
}
