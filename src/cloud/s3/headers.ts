import { decodeHeaderText, encodeHeaderText } from '../header-text.ts'
import type { PutOptions } from '../object-store.ts'

export function encodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, encodeHeaderText(value)]))
}

export function decodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, decodeHeaderText(value)]))
}

/** The condition of a write, as S3 is told it. */
export function onlyIf(only: PutOptions['only']): { IfNoneMatch?: string; IfMatch?: string } {
  if (only === undefined) return {}
  return only === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: `"${only.etag}"` }
}
