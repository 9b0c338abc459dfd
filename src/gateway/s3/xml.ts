/** Written by hand: a listing of 1,000 keys is the hottest document there is, and it is all strings. */
export const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to be escaped
const special = /[&<>"'\x00-\x1f\x7f-\x9f\u2028\ufffe\uffff\ud800-\udfff]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const specials = /[&<>"'\x00-\x1f\x7f-\x9f\u2028\ufffe\uffff]/g

/**
 * Text of an element. Characters that XML 1.0 has no form for (U+0001) become references as AWS writes them: a strict reader stops
 * there and does not take one key for another; with `encoding-type=url` they don't come up.
 */
export function escapeXml(text: string): string {
  if (!special.test(text)) return text
  return text.toWellFormed().replace(specials, escapeCharacter)
}

function escapeCharacter(c: string): string {
  switch (c) {
    case '&':
      return '&amp;'
    case '<':
      return '&lt;'
    case '>':
      return '&gt;'
    case '"':
      return '&quot;'
    case "'":
      return '&apos;'
    default:
      return `&#x${c.charCodeAt(0).toString(16).toUpperCase()};`
  }
}

/** An element with text; nothing at all where the value is undefined. Names are ours, never the client's. */
export function leaf(name: string, value: string | number | boolean | undefined): string {
  if (value === undefined) return ''
  return `<${name}>${typeof value === 'string' ? escapeXml(value) : value}</${name}>`
}

/** An element around elements. */
export function node(name: string, ...children: readonly string[]): string {
  return `<${name}>${children.join('')}</${name}>`
}

/** A whole answer document in S3's namespace. */
export function document(root: string, ...children: readonly string[]): string {
  return `${XML_HEAD}<${root} ${NAMESPACE}>${children.join('')}</${root}>`
}

let lastSecond = -1
let lastText = ''

/** Whole seconds, as AWS has them: what a listing says is then the same as what HEAD says. */
export function xmlTime(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond) {
    lastText = new Date(second * 1000).toISOString()
    lastSecond = second
  }
  return lastText
}
