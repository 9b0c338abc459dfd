import { createHash } from 'node:crypto'
import { ObjectNotFound, type UploadOptions } from '../object-store.ts'

/**
 * What an upload has to know at its end, also after a crash. The service keeps nothing of an upload but its blocks, so that all of it
 * stands in the upload's id.
 */
export interface UploadFacts {
  /** 16 random bytes in hex: what the names of its blocks begin with. */
  readonly nonce: string
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly only?: UploadOptions['only']
}

const NONCE = /^[0-9a-f]{32}$/
const MAX_ID_CHARS = 64 * 1024

export function encodeUploadId(name: string, facts: UploadFacts): string {
  const { nonce, contentType, metadata, only } = facts
  const json = JSON.stringify([keyMark(name), nonce, contentType, metadata, only])
  return Buffer.from(json).toString('base64url')
}

/** Throws ObjectNotFound for what is no id, or one of another object. */
export function decodeUploadId(name: string, uploadId: string): UploadFacts {
  const facts = parseFacts(name, uploadId)
  if (!facts) throw noUpload(uploadId)
  return facts
}

export function noUpload(uploadId: string): ObjectNotFound {
  return new ObjectNotFound('there is no such upload', { what: 'upload', uploadId })
}

function parseFacts(name: string, uploadId: string): UploadFacts | undefined {
  if (uploadId.length > MAX_ID_CHARS || !/^[\w-]+$/.test(uploadId)) return undefined
  const values = parseJson(Buffer.from(uploadId, 'base64url').toString('utf8'))
  if (!Array.isArray(values)) return undefined
  const [mark, nonce, contentType, metadata, only] = values as unknown[]
  if (mark !== keyMark(name) || typeof nonce !== 'string' || !NONCE.test(nonce)) {
    return undefined
  }
  return {
    nonce,
    ...(typeof contentType === 'string' ? { contentType } : {}),
    ...(isTexts(metadata) ? { metadata } : {}),
    ...(isCondition(only) ? { only } : {}),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // Somebody else's id, or none.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')
}

function isCondition(value: unknown): value is NonNullable<UploadOptions['only']> {
  return value === 'absent' || (isTexts(value) && typeof value['etag'] === 'string')
}

/** An id is good for one object alone. */
function keyMark(name: string): string {
  return createHash('sha256').update(name).digest('base64url').slice(0, 16)
}

/** All blocks of a blob must have names of one length: 32 + 1 + 5 characters, in base64. Number 0 is the upload's own mark. */
export function blockId(nonce: string, number: number): string {
  return Buffer.from(`${nonce}-${String(number).padStart(5, '0')}`).toString('base64')
}

/** The number of a block, if it is one of this upload. */
export function blockNumber(nonce: string, id: string): number | undefined {
  const [, owner, digits] = /^([0-9a-f]{32})-(\d{5})$/.exec(Buffer.from(id, 'base64').toString('latin1')) ?? []
  return owner === nonce ? Number(digits) : undefined
}
