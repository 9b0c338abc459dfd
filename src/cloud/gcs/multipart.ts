import type { Readable } from 'node:stream'
import { randomHexId } from '../../kernel/index.ts'
import type { PutOptions } from '../object-store.ts'
import { type GcsConnection, type GcsRequest, query } from './connection.ts'
import { describe, generationOf, OBJECT_FIELDS } from './resource.ts'

/** The request that writes a whole object: its description and its bytes in one body (RFC 2387, multipart/related). */
export function insertRequest(
  to: GcsConnection,
  name: string,
  body: { readonly content: Buffer | Readable; readonly size: number; readonly crc32c?: string },
  options: PutOptions,
): GcsRequest {
  const boundary = `sluice-${randomHexId()}`
  const before = Buffer.from(
    [
      `--${boundary}`,
      'content-type: application/json; charset=UTF-8',
      '',
      JSON.stringify(describe(name, options, body.crc32c)),
      `--${boundary}`,
      `content-type: ${inHeader(options.contentType)}`,
      '',
      '',
    ].join('\r\n'),
  )
  const after = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    method: 'POST',
    path:
      `/upload${to.path()}` +
      query({ uploadType: 'multipart', ifGenerationMatch: generationOf(options.only), fields: OBJECT_FIELDS }),
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: [before, body.content, after],
    size: before.length + body.size + after.length,
    signal: options.signal,
    subject: 'bucket',
  }
}

/** The description says it too, in any letters; in a header of a part there is only room for plain ones. */
function inHeader(contentType: string | undefined): string {
  return contentType !== undefined && /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(contentType)
    ? contentType
    : 'application/octet-stream'
}
