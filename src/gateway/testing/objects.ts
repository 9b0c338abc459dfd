import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import type { TestServer } from './server.ts'

export const md5 = (bytes: Buffer | string): string => createHash('md5').update(bytes).digest('hex')

/** Short forms of PUT and GET on one bucket; the server may be started after this is called. */
export function objectsIn(Bucket: string, server: () => TestServer) {
  return {
    put: (Key: string, Body: string | Buffer = 'x', more = {}) =>
      server().s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more })),
    get: async (Key: string, more = {}) => {
      const reply = await server().s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
      return { ...reply, bytes: Buffer.from((await reply.Body?.transformToByteArray()) ?? []) }
    },
  }
}

/** The SDK's call is refused with this code, and this status. */
export function refused(promise: Promise<unknown>, name: string, status?: number): Promise<void> {
  return assert.rejects(promise, (error: Error & { $metadata?: { httpStatusCode?: number } }) => {
    assert.equal(error.name, name)
    if (status !== undefined) assert.equal(error.$metadata?.httpStatusCode, status)
    return true
  })
}
