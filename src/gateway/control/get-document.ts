import { hash } from 'node:crypto'
import { CONTROL_FOLDER } from '../../versioning/index.ts'
import { evaluateConditions, preconditionFailed, readConditions } from '../s3/conditions.ts'
import { httpDate, targetHeaders } from '../s3/entry-headers.ts'
import { type Operation, operation, type ReplyHeaders } from '../s3/operation.ts'
import { readRange, resolveRange } from '../s3/ranges.ts'
import { makeControlDocument } from './documents.ts'

/** GET and HEAD of `.sluice/…`: as of any object, so that every S3 tool can read them. */
export const getControlDocument: Operation = operation({
  name: 'GetControlDocument',
  on: 'object',
  needs: 'read',
  read: ({ bucket, keyText, headers }) => ({
    bucket,
    name: keyText.slice(CONTROL_FOLDER.length),
    conditions: readConditions(headers),
    range: readRange(headers['range']),
  }),
  run: async ({ bucket, name, conditions, range }, context) => {
    const { json, info } = await makeControlDocument(context, bucket, name)
    const body = Buffer.from(`${JSON.stringify(json, null, 2)}\n`)
    const etag = hash('md5', body, 'hex')
    const modifiedMs = context.clock.now()
    const verdict = evaluateConditions(conditions, { etag, modifiedMs })
    if (verdict.kind === 'failed') throw preconditionFailed(verdict.condition)
    return {
      body,
      etag,
      info,
      modifiedMs,
      notModified: verdict.kind === 'notModified',
      range: range && resolveRange(range, body.length),
    }
  },
  write: ({ body, etag, info, modifiedMs, notModified, range }, { method }) => {
    const headers: ReplyHeaders = {
      ETag: `"${etag}"`,
      'Last-Modified': httpDate(modifiedMs),
      'Cache-Control': 'no-store',
      ...targetHeaders(info),
    }
    if (notModified) return { status: 304, headers }
    const piece = range ? body.subarray(range.start, range.end) : body
    headers['Accept-Ranges'] = 'bytes'
    headers['Content-Type'] = 'application/json'
    headers['Content-Length'] = piece.length
    if (range) headers['Content-Range'] = `bytes ${range.start}-${range.end - 1}/${body.length}`
    return { status: range ? 206 : 200, headers, ...(method === 'HEAD' ? {} : { body: piece }) }
  },
})
