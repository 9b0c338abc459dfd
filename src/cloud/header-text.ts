/**
 * User metadata travels in HTTP headers, which are ASCII: other text as RFC 2047 words, as Amazon does itself. What looks like such
 * a word is written as one too, else reading it would change it; so is white space at the ends, which HTTP would trim.
 */
export function encodeHeaderText(value: string): string {
  const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$|^$/.test(value) && !value.includes('=?')
  return plain ? value : headerWord(value)
}

/** As a word in any case, for headers that may not be empty. */
export function headerWord(value: string): string {
  return `=?UTF-8?B?${Buffer.from(value, 'utf8').toString('base64')}?=`
}

export function decodeHeaderText(value: string): string {
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
