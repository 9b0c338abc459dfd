import { type Logger, pino } from 'pino'
import type { LogLevel } from './config.ts'

/** Where a server says what happens in it: an object of facts, then a sentence. */
export type Log = Pick<Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'child'>

/** Where a secret could come by; pino replaces the value. */
const secretFields = [
  'secretAccessKey',
  'secretKey',
  'secret',
  'authorization',
  'signature',
  'password',
  'token',
  'sessionToken',
].flatMap((field) => [field, `*.${field}`, `headers["x-amz-security-token"]`, `*.headers.${field}`])

/** The one root logger: JSON lines on standard output (or where `destination` says). */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = { level, base: null, redact: { paths: [...new Set(secretFields)], censor: '[secret]' } }
  return destination ? pino(options, destination) : pino(options)
}

/** For tests and for offline commands. */
export const silentLog: Log = pino({ level: 'silent' })
