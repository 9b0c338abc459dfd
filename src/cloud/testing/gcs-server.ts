import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GcsCredentials } from '../credentials.ts'
import { checkName, type GcsDescription, GcsFault, GcsObjects, pickFields, resourceOf } from './gcs-objects.ts'
import { GcsSessions, type SessionAnswer } from './gcs-sessions.ts'
import { makeAccount, tokenProblem } from './gcs-token.ts'

/** What a request asks for. */
export type GcsOperation =
  | 'insert'
  | 'begin'
  | 'chunk'
  | 'status'
  | 'cancel'
  | 'get'
  | 'media'
  | 'list'
  | 'delete'
  | 'rewrite'

/** How the server misbehaves, once. */
export type GcsMisbehaviour =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly reason?: string
      readonly message?: string
      readonly retryAfter?: string
    }
  | { readonly kind: 'redirect'; readonly to: string }
  /** The connection ends when so many bytes of the body came; what a chunk brought is kept in whole grains. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The same, but for the end: nobody ever answers. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** It is done, and the connection ends without an answer. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'late'; readonly ms: number }
  /** The answer says other checksums than those of what came. */
  | { readonly kind: 'wrongChecksum' }
  /** The connection ends in the middle of a download. */
  | { readonly kind: 'tornAnswer' }
  /** A page without objects that is not the last one. */
  | { readonly kind: 'emptyPage' }

/** A request as it came. */
export interface GcsLogged {
  readonly operation: GcsOperation
  /** Of its body, as far as it came. */
  readonly bytes: number
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** A server of Google's JSON API, written from its documentation, for what drivers of it do. */
export interface GcsServer {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly endpoint: string
  /** The only account that it knows. */
  readonly credentials: GcsCredentials
  /** All requests so far, in their order. */
  readonly requests: readonly GcsLogged[]
  makeBucket(name: string): void
  /** The next `times` requests of this kind meet this. */
  misbehave(operation: GcsOperation, how: GcsMisbehaviour, times?: number): void
  close(): Promise<void>
}

interface Call {
  readonly operation: GcsOperation
  readonly bucket: string
  /** Decoded; empty: the bucket's objects. */
  readonly name: string
  readonly query: URLSearchParams
  readonly request: IncomingMessage
  readonly body: Buffer
}

interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly document?: unknown
  readonly content?: Buffer
}

/** Pages of listings have at most this many. */
const MAX_PAGE = 1000
/** Copies of more than this take two calls. */
const COPIED_AT_ONCE_BYTES = 1024 * 1024

/** `fate` is asked about every request that nothing was planned for. */
export async function startGcsServer(
  fate: (operation: GcsOperation) => GcsMisbehaviour | undefined = () => undefined,
): Promise<GcsServer> {
  const account = makeAccount()
  const objects = new GcsObjects()
  const sessions = new GcsSessions(objects)
  const planned: { operation: GcsOperation; how: GcsMisbehaviour }[] = []
  const requests: GcsLogged[] = []
  const misbehaviour = (operation: GcsOperation) => {
    const at = planned.findIndex((plan) => plan.operation === operation)
    return at < 0 ? fate(operation) : planned.splice(at, 1)[0]!.how
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const place = route(request)
    const how = misbehaviour(place.operation)
    const body = await read(request, how && 'afterBytes' in how ? how.afterBytes : Number.POSITIVE_INFINITY)
    requests.push({ operation: place.operation, bytes: body.length, url: request.url ?? '', headers: request.headers })
    const problem = tokenProblem(request.headers.authorization, account, Date.now())
    if (problem !== undefined) throw new GcsFault(401, 'authError', problem)
    if (how?.kind === 'answer')
      throw new GcsFault(how.status, how.reason ?? '', how.message ?? 'It misbehaves.', how.retryAfter)
    if (how?.kind === 'redirect') {
      response.writeHead(307, { location: how.to }).end()
      return
    }
    if (how?.kind === 'late') await sleep(how.ms, undefined, { ref: false })
    if (how?.kind === 'cut' || how?.kind === 'stall') {
      if (place.operation === 'chunk') sessions.keepTorn(sessionOf(place), request.headers['content-range'], body)
      if (how.kind === 'cut') request.socket.destroy()
      return
    }
    const reply = handle({ ...place, request, body }, objects, sessions)
    if (how?.kind === 'lost') request.socket.destroy()
    else send(response, changed(reply, how), how?.kind === 'tornAnswer')
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      const fault = error instanceof GcsFault ? error : new GcsFault(500, 'backendError', String(error))
      if (response.socket?.destroyed === false && !response.headersSent) send(response, faultReply(fault), false)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    endpoint: `http://127.0.0.1:${port}`,
    credentials: account.credentials,
    requests,
    makeBucket: (name) => objects.makeBucket(name),
    misbehave(operation, how, times = 1) {
      for (let time = 0; time < times; time++) planned.push({ operation, how })
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function route(request: IncomingMessage): Omit<Call, 'request' | 'body'> {
  const { method = '' } = request
  const [path = '', search = ''] = (request.url ?? '').split('?', 2)
  const query = new URLSearchParams(search)
  const match = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+)(\/rewriteTo\/b\/.+)?)?$/.exec(path)
  const [, upload, bucket, name, rewrite] = match ?? []
  const operation = operationOf(method, query, { upload, name, rewrite }, request.headers['content-range'])
  if (bucket === undefined || operation === undefined) throw new GcsFault(404, 'notFound', 'Not Found')
  return { operation, bucket: decodeURIComponent(bucket), name: decodeURIComponent(name ?? ''), query }
}

function operationOf(
  method: string,
  query: URLSearchParams,
  path: { upload: string | undefined; name: string | undefined; rewrite: string | undefined },
  range: string | undefined,
): GcsOperation | undefined {
  if (path.upload !== undefined) {
    if (method === 'POST' && query.get('uploadType') === 'multipart') return 'insert'
    if (query.get('uploadType') !== 'resumable') return undefined
    if (!query.has('upload_id')) return method === 'POST' ? 'begin' : undefined
    if (method === 'DELETE') return 'cancel'
    if (method !== 'PUT') return undefined
    return /^bytes \*\/\*$/.test(range ?? '') ? 'status' : 'chunk'
  }
  if (path.rewrite !== undefined) return method === 'POST' ? 'rewrite' : undefined
  if (path.name === undefined) return method === 'GET' ? 'list' : undefined
  if (method === 'DELETE') return 'delete'
  return method === 'GET' ? (query.get('alt') === 'media' ? 'media' : 'get') : undefined
}

async function read(request: IncomingMessage, atMost: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes >= atMost) return Buffer.concat(pieces).subarray(0, atMost)
  }
  return Buffer.concat(pieces)
}

const sessionOf = ({ query }: Pick<Call, 'query'>) => query.get('upload_id') ?? ''

function handle(call: Call, objects: GcsObjects, sessions: GcsSessions): Reply {
  const { operation, bucket, name, query, request, body } = call
  const match = query.get('ifGenerationMatch')
  const described = (document: unknown) => ({ status: 200, document: pickFields(document, query.get('fields')) })
  switch (operation) {
    case 'insert': {
      const { description, content } = readMultipart(request.headers['content-type'], body)
      return described(resourceOf(objects.put(bucket, description, content, match)))
    }
    case 'begin':
      return begin(call, objects, sessions)
    case 'chunk':
    case 'status': {
      const hash = request.headers['x-goog-hash']
      return sessionReply(
        sessions.take(
          sessionOf(call),
          request.headers['content-range'],
          body,
          hash === undefined ? hash : String(hash),
        ),
      )
    }
    case 'cancel':
      sessions.cancel(sessionOf(call))
      return { status: 499 }
    case 'get':
      objects.object(bucket, name)
      objects.checkGeneration(bucket, name, match)
      return described(resourceOf(objects.object(bucket, name)))
    case 'media':
      return media(call, objects)
    case 'list':
      return described(list(call, objects))
    case 'delete':
      objects.object(bucket, name)
      objects.checkGeneration(bucket, name, match)
      objects.bucket(bucket).delete(name)
      return { status: 204 }
    case 'rewrite':
      return described(rewrite(call, objects))
    default:
      throw new GcsFault(501, 'notImplemented', operation satisfies never)
  }
}

function begin({ bucket, query, request, body }: Call, objects: GcsObjects, sessions: GcsSessions): Reply {
  objects.bucket(bucket)
  const said = body.length > 0 ? (JSON.parse(body.toString('utf8')) as GcsDescription) : {}
  const name = said.name ?? query.get('name') ?? ''
  if (query.has('name') && query.get('name') !== name) throw new GcsFault(400, 'invalid', 'Two names.')
  checkName(name)
  const length = request.headers['x-upload-content-length']
  const id = sessions.begin(
    bucket,
    { ...said, name },
    query.get('ifGenerationMatch'),
    length === undefined ? undefined : Number(length),
  )
  const path = `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`
  const location = `http://${request.headers.host}${path}?uploadType=resumable&name=${encodeURIComponent(name)}&upload_id=${id}`
  return { status: 200, headers: { location } }
}

function sessionReply(answer: SessionAnswer): Reply {
  if (answer.kind === 'complete') return { status: 200, document: resourceOf(answer.object) }
  return { status: 308, headers: answer.persisted > 0 ? { range: `bytes=0-${answer.persisted - 1}` } : {} }
}

function media({ bucket, name, request }: Call, objects: GcsObjects): Reply {
  const { content, contentType = 'application/octet-stream' } = objects.object(bucket, name)
  const headers = { 'content-type': contentType }
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  if (!match) return { status: 200, headers, content }
  const [start, end] = [Number(match[1]), Math.min(Number(match[2]), content.length - 1)]
  if (start >= content.length) {
    throw new GcsFault(416, 'requestedRangeNotSatisfiable', 'The requested range cannot be satisfied.')
  }
  return {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${start}-${end}/${content.length}` },
    content: content.subarray(start, end + 1),
  }
}

function list({ bucket, query }: Call, objects: GcsObjects): Record<string, unknown> {
  const token = query.get('pageToken')
  const from = token === null ? (query.get('startOffset') ?? '') : Buffer.from(token, 'base64url').toString('utf8')
  const most = Math.min(Number(query.get('maxResults') ?? MAX_PAGE), MAX_PAGE)
  const found = objects.list(bucket, from, query.get('prefix') ?? '')
  const next = found[most]
  return {
    kind: 'storage#objects',
    // A page without objects has no list of them.
    ...(found.length > 0 ? { items: found.slice(0, most).map(resourceOf) } : {}),
    ...(next ? { nextPageToken: Buffer.from(next.name).toString('base64url') } : {}),
  }
}

function rewrite({ bucket, name, query, request }: Call, objects: GcsObjects): Record<string, unknown> {
  const [, to = '', target = ''] = /\/rewriteTo\/b\/([^/]+)\/o\/([^/?]+)/.exec(request.url ?? '') ?? []
  const source = objects.object(bucket, name)
  const size = String(source.content.length)
  if (source.content.length > COPIED_AT_ONCE_BYTES && !query.has('rewriteToken')) {
    return { kind: 'storage#rewriteResponse', objectSize: size, done: false, rewriteToken: 'go on' }
  }
  const copy = objects.put(
    decodeURIComponent(to),
    { ...source, name: decodeURIComponent(target) },
    source.content,
    query.get('ifGenerationMatch'),
  )
  return { kind: 'storage#rewriteResponse', objectSize: size, done: true, resource: resourceOf(copy) }
}

function readMultipart(type = '', body: Buffer): { description: GcsDescription; content: Buffer } {
  const boundary = /^multipart\/related; ?boundary="?([^"]+)"?$/.exec(type)?.[1]
  const text = body.toString('latin1')
  const pattern = new RegExp(
    `^--${boundary}\r\ncontent-type: application/json[^\r]*\r\n\r\n([^]*?)\r\n--${boundary}\r\ncontent-type: ([^\r]+)\r\n\r\n`,
    'i',
  )
  const head = pattern.exec(text)
  const end = text.lastIndexOf(`\r\n--${boundary}--`)
  if (boundary === undefined || !head || end < head[0].length) {
    throw new GcsFault(400, 'badRequest', 'Malformed multipart body.')
  }
  const said = JSON.parse(Buffer.from(head[1]!, 'latin1').toString('utf8')) as GcsDescription
  return { description: { contentType: head[2]!, ...said }, content: body.subarray(head[0].length, end) }
}

function changed(reply: Reply, how: GcsMisbehaviour | undefined): Reply {
  if (how?.kind === 'emptyPage') return { ...reply, document: emptied(reply.document as Record<string, unknown>) }
  if (how?.kind !== 'wrongChecksum') return reply
  return {
    ...reply,
    document: { ...(reply.document as object), crc32c: 'AAAAAA==', md5Hash: 'AAAAAAAAAAAAAAAAAAAAAA==' },
  }
}

/** The same page again, under a token, without its objects. */
function emptied({ items }: Record<string, unknown>): Record<string, unknown> {
  const [first] = (items ?? []) as { name: string }[]
  return { nextPageToken: Buffer.from(first?.name ?? '').toString('base64url') }
}

function faultReply({ status, reason, message, retryAfter }: GcsFault): Reply {
  return {
    status,
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
    document: { error: { code: status, message, errors: [{ message, domain: 'global', reason }] } },
  }
}

function send(response: ServerResponse, { status, headers, document, content }: Reply, torn: boolean): void {
  const body = content ?? (document === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(document)))
  response.writeHead(status, {
    ...(document === undefined ? {} : { 'content-type': 'application/json; charset=UTF-8' }),
    ...(status === 204 ? {} : { 'content-length': body.length }),
    ...headers,
  })
  if (torn) response.write(body.subarray(0, body.length / 2), () => response.destroy())
  else response.end(body)
}
