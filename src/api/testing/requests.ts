import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AccessKey, type KeyRing, rootKeyRing, signRequest } from '../../kernel/index.ts'

/** A key for tests, and a ring that knows it alone. */
export const testKey = { accessKeyId: 'SLUICETEST', secretAccessKey: 'a-secret-for-tests-only' }
export const testKeys: KeyRing = rootKeyRing(testKey)

/** A key that is known and may do nothing. */
export const strangerKey: AccessKey = {
  accessKeyId: 'STRANGER',
  secretAccessKey: 'another-secret-for-tests',
  name: 'stranger',
  canonicalId: '0'.repeat(64),
  admin: false,
}

export interface Reply {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export interface Ask {
  readonly method?: string
  readonly path: string
  readonly body?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
  /** How it is signed; by the test key if left out, not at all if null. */
  readonly key?: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  } | null
  readonly bodySha256?: string
  readonly now?: Date
}

export async function listen(server: http.Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Headers that make the request a signed one. */
export function signed(url: string, ask: Ask): Record<string, string> {
  if (ask.key === null) return { ...ask.headers }
  return signRequest({
    method: ask.method ?? 'GET',
    url: `${url}${ask.path}`,
    headers: ask.headers ?? {},
    bodySha256: ask.bodySha256 ?? hash('sha256', ask.body ?? '', 'hex'),
    ...(ask.key ?? testKey),
    region: 'us-east-1',
    service: 's3',
    now: ask.now ?? new Date(),
  })
}

/** What a request that must succeed answers, as JSON. */
export async function read<T>(reply: Promise<Reply>): Promise<T> {
  const { status, text } = await reply
  assert.ok(status < 300, text)
  return JSON.parse(text) as T
}

/** Sends a body as JSON; by the test key unless another is given. */
export function sendJson(url: string, ask: Omit<Ask, 'body'>, body?: unknown): Promise<Reply> {
  return send(url, { ...ask, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

export function send(url: string, ask: Ask): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const length = ask.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(ask.body)) }
    const request = http.request({
      hostname,
      port,
      method: ask.method ?? 'GET',
      path: ask.path,
      headers: { ...signed(url, ask), ...length },
      agent: false,
    })
    request.on('error', reject)
    request.on('response', async (response) => {
      const pieces: Buffer[] = []
      response.on('error', reject)
      for await (const piece of response) pieces.push(piece as Buffer)
      const text = Buffer.concat(pieces).toString('utf8')
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
    })
    request.end(ask.body)
  })
}

/** The code of an error answer. */
export function codeOf(reply: Reply): string {
  return (JSON.parse(reply.text) as { error: { code: string } }).error.code
}

export function messageOf(reply: Reply): string {
  return (JSON.parse(reply.text) as { error: { message: string } }).error.message
}

/** Announces a body of 6 GiB and waits for leave to send it; says whether that came. */
export function sendExpecting(url: string, ask: Ask): Promise<{ continued: boolean; status: number }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const framing = { expect: '100-continue', 'content-length': String(6 * 1024 ** 3) }
    const headers = { ...signed(url, ask), ...framing }
    let continued = false
    const request = http.request({ hostname, port, method: ask.method ?? 'GET', path: ask.path, headers, agent: false })
    request.on('continue', () => {
      continued = true
    })
    request.on('error', reject)
    request.on('response', (response) => {
      resolve({ continued, status: response.statusCode ?? 0 })
      response.resume()
      request.destroy()
    })
    request.flushHeaders()
  })
}
