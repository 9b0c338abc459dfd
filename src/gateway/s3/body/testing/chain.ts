import assert from 'node:assert/strict'
import { type KeyPair, rootKeyRing, signRequest, verifyRequest } from '../../../../kernel/index.ts'

/** A fresh chain of chunk signatures, as verifying a request gives it. */
export async function newChain(key: KeyPair, now: Date) {
  const headers = signRequest({
    ...key,
    method: 'PUT',
    url: 'http://127.0.0.1/b/k',
    headers: {},
    bodySha256: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    region: 'us-east-1',
    service: 's3',
    now,
  })
  const { payload } = await verifyRequest(
    { method: 'PUT', rawUrl: '/b/k', headers, rawHeaders: Object.entries(headers).flat() },
    { findKey: rootKeyRing(key).find, nowMs: now.getTime() },
  )
  assert.ok(payload.kind === 'chunked' && payload.chain)
  return payload.chain
}
