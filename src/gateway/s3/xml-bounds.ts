import { KIB, MIB } from '../../kernel/index.ts'
import { malformed } from './xml-element.ts'

/** Looking at what is shorter is not worth the time. */
const HARMLESS_CHARACTERS = 64 * KIB
/** 10,000 parts of an upload, with a number, an ETag and every checksum. */
const MAX_TAGS = 200_000
/** Tags that clients send are shorter, but for some that name a namespace. */
const SHORT_TAG = 64
/** Of all tags and comments that are longer, together. */
const MAX_LONG_TAGS = 64 * KIB
/** For the parser of all of XML, which takes far longer than the scanner. */
const MAX_PARSED_CHARACTERS = 4 * MIB
const CDATA = '<![CDATA['

/**
 * Refuses what would keep the process busy for seconds, at the cost of one look at each tag: documents may be megabytes, and a parser's
 * time goes by their tags and attributes. Throws S3Error MalformedXML.
 */
export function refuseMarkupWithoutEnd(text: string): void {
  if (text.length <= HARMLESS_CHARACTERS) return
  let tags = 0
  let long = 0
  let at = text.indexOf('<')
  while (at >= 0) {
    const isText = text.startsWith(CDATA, at)
    const end = isText ? text.indexOf(']]>', at) : text.indexOf('>', at)
    const length = (end < 0 ? text.length : end) - at
    if (length > SHORT_TAG && (end < 0 || !isText)) long += length
    if (++tags > MAX_TAGS || long > MAX_LONG_TAGS) throw malformed('it has more markup than any request needs')
    at = text.indexOf('<', isText && end > 0 ? end : at + 1)
  }
}

/** Of a document that only the parser understands. Throws S3Error MalformedXML. */
export function refuseLong(text: string): void {
  if (text.length > MAX_PARSED_CHARACTERS) throw malformed('it is too long to hold anything but plain elements')
}
