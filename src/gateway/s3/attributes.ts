import { MAX_METADATA_BYTES } from '../../kernel/index.ts'
import type { Attributes } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import type { RequestHeaders } from './request.ts'

const METADATA_PREFIX = 'x-amz-meta-'
/** Names that the gateway makes itself when a pipeline's output is read; what a client sends under them is dropped. */
export const OWN_METADATA_PREFIX = 'sluice-'
/** AWS's own default. */
export const DEFAULT_CONTENT_TYPE = 'binary/octet-stream'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** What the request's headers say about an object besides its bytes. Throws MetadataTooLarge. */
export function readAttributes(headers: RequestHeaders): Attributes {
  const attributes: Writable<Attributes> = { metadata: readMetadata(headers) }
  const contentType = headers['content-type']
  if (contentType) attributes.contentType = headerText(contentType)
  const cacheControl = headers['cache-control']
  if (cacheControl) attributes.cacheControl = headerText(cacheControl)
  const contentDisposition = headers['content-disposition']
  if (contentDisposition) attributes.contentDisposition = headerText(contentDisposition)
  const contentLanguage = headers['content-language']
  if (contentLanguage) attributes.contentLanguage = headerText(contentLanguage)
  const expires = headers['expires']
  if (expires) attributes.expires = headerText(expires)
  const contentEncoding = readContentEncoding(headers)
  if (contentEncoding) attributes.contentEncoding = contentEncoding
  return attributes
}

/** `aws-chunked` is how the body travelled, not what it is. */
function readContentEncoding(headers: RequestHeaders): string {
  const text = headers['content-encoding']
  if (!text) return ''
  const codings = headerText(text).split(',')
  const kept = codings.filter((coding) => coding.trim().toLowerCase() !== 'aws-chunked')
  return kept.join(',').trim()
}

function readMetadata(headers: RequestHeaders): Record<string, string> {
  const metadata = Object.create(null) as Record<string, string>
  let bytes = 0
  for (const header in headers) {
    if (!header.startsWith(METADATA_PREFIX)) continue
    const name = header.slice(METADATA_PREFIX.length)
    if (name === '' || name.startsWith(OWN_METADATA_PREFIX)) continue
    const value = headers[header] ?? ''
    bytes += name.length + value.length
    if (bytes > MAX_METADATA_BYTES) {
      throw new S3Error('MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size', {
        MaxSizeAllowed: String(MAX_METADATA_BYTES),
      })
    }
    metadata[name] = headerText(value)
  }
  return metadata
}

/** Characters for private use that stand for the bytes of a header that is no UTF-8: 0x80 is U+F780. */
const RAW_BYTES = 0xf700

/**
 * Node gives header bytes as Latin-1; clients mean UTF-8 where it is that. Of any other value each byte is kept by itself, so that it
 * comes back as it was sent.
 */
function headerText(value: string): string {
  if (!/[\x80-\xff]/.test(value)) return value
  const bytes = Buffer.from(value, 'latin1')
  const text = bytes.toString('utf8')
  if (!/[\ufffd\uf780-\uf7ff]/.test(text)) return text
  return value.replace(/[\x80-\xff]/g, (c) => String.fromCharCode(RAW_BYTES + c.charCodeAt(0)))
}

/** The way back: the bytes, each as one character. */
export function headerBytes(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: "is it ASCII" is exactly the question here
  if (/^[\x00-\x7f]*$/.test(text)) return text
  if (/^[^\u0080-\uf77f\uf800-\uffff]*$/.test(text)) {
    return text.replace(/[\uf780-\uf7ff]/g, (c) => String.fromCharCode(c.charCodeAt(0) - RAW_BYTES))
  }
  return Buffer.from(text, 'utf8').toString('latin1')
}
