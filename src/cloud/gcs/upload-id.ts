import { createHash } from 'node:crypto'
import { ObjectNotFound } from '../object-store.ts'

/** All that is needed to go on with an upload. */
export interface UploadState {
  /** The service's id of the session. */
  readonly sessionId: string
  readonly size: number
  readonly partBytes: number
  /** Hex MD5 of the whole. */
  readonly md5: string | undefined
}

/** Its last part is Google's `upload_id`; no host and no path is kept, so that a stored one can't lead anywhere else. */
export function encodeUploadId(place: string, { sessionId, size, partBytes, md5 }: UploadState): string {
  return ['gcs1', partBytes, size, md5 ?? '', placeHash(place), sessionId].join(':')
}

/** Throws ObjectNotFound (`what: 'upload'`) unless it is the id of an upload to this place. */
export function decodeUploadId(place: string, uploadId: string): UploadState {
  const match = /^gcs1:(\d{1,15}):(\d{1,15}):([0-9a-f]{32})?:([\w-]{22}):(.+)$/.exec(uploadId)
  const [, partBytes, size, md5, hash, sessionId] = match ?? []
  if (sessionId === undefined || hash !== placeHash(place) || !isSessionId(sessionId)) {
    throw new ObjectNotFound('there is no such upload', { what: 'upload' })
  }
  return { sessionId, size: Number(size), partBytes: Number(partBytes), md5 }
}

/** What can be sent back in a query as it came. */
export function isSessionId(text: string): boolean {
  return /^[\w.~+/=-]{1,2048}$/.test(text)
}

function placeHash(place: string): string {
  return createHash('sha256').update(place).digest('base64url').slice(0, 22)
}
