import type { PutOptions } from '../object-store.ts'

/** User metadata travels in HTTP headers, which are ASCII: other text as RFC 2047 words, as Amazon does itself. */
export function encodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, encodeValue(value)]))
}

export function decodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, decodeValue(value)]))
}

function encodeValue(value: string): string {
  // What looks like an encoded word is encoded too, else reading it would change it; so is white space that HTTP would trim.
  const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$|^$/.test(value) && !value.includes('=?')
  return plain ? value : `=?UTF-8?B?${Buffer.from(value, 'utf8').toString('base64')}?=`
}

function decodeValue(value: string): string {
  const words = value.match(/=\?utf-8\?[bq]\?[^?]*\?=/gi)
  if (!words || value.replace(/=\?utf-8\?[bq]\?[^?]*\?=|\s/gi, '') !== '') return value
  return Buffer.concat(words.map(decodeWord)).toString('utf8')
}

function decodeWord(word: string): Buffer {
  const [, , encoding, text] = word.split('?')
  if (encoding!.toUpperCase() === 'B') return Buffer.from(text!, 'base64')
  const bytes = text!
    .replaceAll('_', ' ')
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1')
}

/** The condition of a write, as S3 is told it. */
export function onlyIf(only: PutOptions['only']): { IfNoneMatch?: string; IfMatch?: string } {
  if (only === undefined) return {}
  return only === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: `"${only.etag}"` }
}
