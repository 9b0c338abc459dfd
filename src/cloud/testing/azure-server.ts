import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { AzureTarget } from '../target.ts'
import { accountKey, azureTarget, testAccount } from './azure-account.ts'
import { type BlobHead, Blobs, Refused, type StoredBlob } from './azure-blobs.ts'

/** How a request goes wrong. */
export type Fault =
  | {
      readonly status: number
      readonly code?: string
      readonly message?: string
      readonly headers?: Record<string, string>
    }
  /** The connection is cut before anything is done. */
  | 'cut'
  /** It is done, and the connection cut before the answer. */
  | 'lost'
  /** The answer ends in the middle of its body. */
  | 'torn'

export interface AzureServerOptions {
  readonly hierarchical?: boolean
  readonly pendingCopies?: number
  /** A query string that is let in; what else is signed must be signed by the account's key. */
  readonly sas?: string
}

export interface AzureServer {
  readonly port: number
  readonly requests: readonly string[]
  /** Called for every request, named like `PUT name?comp=block`. */
  fault: ((request: string) => Fault | undefined) | undefined
  /** What becomes of the bodies of requests on their way. */
  changeBodies: ((body: Buffer) => Buffer) | undefined
  readonly blobs: Blobs
  readonly headersOf: readonly IncomingHttpHeaders[]
  target(folder?: string): AzureTarget
  close(): Promise<void>
}

/** How many entries a page has at most, whatever is asked for. */
const PAGE = 400

/**
 * A small server that speaks as much of the Blob service's protocol as the driver uses, for one container, `container`, and that
 * can be told to fail. It checks signatures, MD5s, conditions and the rules for blocks as the documents of the service have them.
 */
export async function startAzureServer(options: AzureServerOptions = {}): Promise<AzureServer> {
  const blobs = new Blobs(options.hierarchical === true)
  const requests: string[] = []
  const headersOf: IncomingHttpHeaders[] = []
  const state: Pick<AzureServer, 'fault' | 'changeBodies'> = { fault: undefined, changeBodies: undefined }
  const server = createServer(async (request, response) => {
    const asked = new Asked(request)
    requests.push(asked.title)
    headersOf.push(request.headers)
    const fault = state.fault?.(asked.title)
    if (fault === 'cut') return void request.socket.destroy()
    // A client that breaks its request off gets no answer.
    const body = await buffer(request).catch(() => undefined)
    if (!body) return
    const answer =
      typeof fault === 'object' ? failed(fault) : answerTo(asked, state.changeBodies?.(body) ?? body, blobs, options)
    if (fault === 'lost') return void request.socket.destroy()
    send(response, asked.method, answer, fault === 'torn')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    requests,
    headersOf,
    blobs,
    get fault() {
      return state.fault
    },
    set fault(fault) {
      state.fault = fault
    },
    get changeBodies() {
      return state.changeBodies
    },
    set changeBodies(change) {
      state.changeBodies = change
    },
    target: (folder) => azureTarget(`http://127.0.0.1:${port}/${testAccount.account}`, 'container', folder),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: Buffer
}

/** A request, taken apart. */
class Asked {
  readonly method: string
  readonly url: URL
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly container: string
  readonly name: string

  constructor(request: IncomingMessage) {
    this.method = request.method ?? ''
    this.url = new URL(request.url ?? '/', 'http://server')
    this.query = this.url.searchParams
    this.headers = request.headers
    const [, , container = '', ...rest] = this.url.pathname.split('/')
    this.container = container
    this.name = decodeURIComponent(rest.join('/'))
  }

  get title(): string {
    const comp = this.query.get('comp')
    return `${this.method} ${this.name || '/'}${comp ? `?comp=${comp}` : ''}`
  }

  header(name: string): string | undefined {
    const value = this.headers[name]
    return Array.isArray(value) ? value[0] : value
  }
}

function answerTo(asked: Asked, body: Buffer, blobs: Blobs, options: AzureServerOptions): Answer {
  try {
    authenticate(asked, options.sas)
    if (asked.container !== 'container') throw new Refused(404, 'ContainerNotFound')
    const md5 = asked.header('content-md5')
    if (md5 !== undefined && md5 !== createHash('md5').update(body).digest('base64'))
      throw new Refused(400, 'Md5Mismatch')
    return asked.name === '' ? onContainer(asked, blobs, options) : onBlob(asked, body, blobs, options)
  } catch (error) {
    if (error instanceof Refused) return failed(error)
    throw error
  }
}

function onContainer(asked: Asked, blobs: Blobs, { hierarchical }: AzureServerOptions): Answer {
  if (asked.query.get('restype') === 'account') {
    const headers = { 'x-ms-is-hns-enabled': String(hierarchical === true), 'x-ms-account-kind': 'StorageV2' }
    return { status: 200, headers }
  }
  if (asked.query.get('comp') === 'list') return xml(listing(asked, blobs))
  throw new Refused(400, 'UnsupportedQueryParameter')
}

function onBlob(asked: Asked, body: Buffer, blobs: Blobs, { pendingCopies = 0 }: AzureServerOptions): Answer {
  const { method, name } = asked
  const conditions = { ifMatch: asked.header('if-match'), ifNoneMatch: asked.header('if-none-match') }
  switch (`${method} ${asked.query.get('comp') ?? ''}`) {
    case 'GET ':
    case 'HEAD ':
      return read(asked, blobs.get(name))
    case 'DELETE ':
      blobs.delete(name)
      return { status: 202 }
    case 'PUT block':
      blobs.stage(name, asked.query.get('blockid') ?? '', body)
      return { status: 201 }
    case 'PUT blocklist': {
      const ids = [...body.toString('utf8').matchAll(/<Latest>([^<]*)<\/Latest>/g)].map(([, id]) => id!)
      return written(blobs.commit(name, ids, headOf(asked), conditions))
    }
    case 'GET blocklist':
      return xml(blockList(asked.query.get('blocklisttype') ?? 'committed', name, blobs))
    case 'PUT ': {
      const source = asked.header('x-ms-copy-source')
      if (source === undefined) return written(blobs.put(name, body, headOf(asked), conditions))
      const from = decodeURIComponent(new URL(source).pathname.split('/').slice(3).join('/'))
      const copied = blobs.copy(from, name, pendingCopies)
      const headers = { ...written(copied).headers, 'x-ms-copy-id': 'c', 'x-ms-copy-status': copyStatus(copied) }
      return { status: 202, headers }
    }
    default:
      throw new Refused(400, 'UnsupportedQueryParameter')
  }
}

function copyStatus(blob: StoredBlob): string {
  return blob.pendingCopy ? 'pending' : 'success'
}

function headOf(asked: Asked): BlobHead {
  const metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(asked.headers)) {
    if (!name.startsWith('x-ms-meta-')) continue
    if (!/^[a-z_][a-z0-9_]*$/i.test(name.slice(10))) throw new Refused(400, 'InvalidMetadata')
    metadata[name.slice(10)] = String(value)
  }
  return {
    contentType: asked.header('x-ms-blob-content-type') ?? 'application/octet-stream',
    metadata,
    md5: asked.header('x-ms-blob-content-md5'),
  }
}

function written(blob: StoredBlob): { status: number; headers: Record<string, string> } {
  const headers = { etag: `"${blob.etag}"`, 'last-modified': blob.modified.toUTCString() }
  return { status: 201, headers: blob.md5 === undefined ? headers : { ...headers, 'content-md5': blob.md5 } }
}

function read(asked: Asked, blob: StoredBlob): Answer {
  const status = copyStatus(blob)
  if (blob.pendingCopy) blob.pendingCopy--
  const metadata = Object.entries(blob.metadata).map(([name, value]) => [`x-ms-meta-${name}`, value])
  const headers = {
    ...written(blob).headers,
    ...Object.fromEntries(metadata),
    'content-type': blob.contentType,
    'x-ms-blob-type': 'BlockBlob',
    'x-ms-copy-status': status,
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(asked.header('x-ms-range') ?? asked.header('range') ?? '')
  // Until the copy has ended nothing is there yet.
  if (status === 'pending') return { status: 200, headers, body: Buffer.alloc(0) }
  if (!range) return { status: 200, headers, body: blob.content }
  const start = Number(range[1])
  if (start >= blob.content.length) throw new Refused(416, 'InvalidRange')
  const body = blob.content.subarray(start, range[2] ? Number(range[2]) + 1 : undefined)
  const contentRange = `bytes ${start}-${start + body.length - 1}/${blob.content.length}`
  return { status: 206, headers: { ...headers, 'content-range': contentRange }, body }
}

function blockList(kind: string, name: string, blobs: Blobs): string {
  const list = (title: string, blocks: readonly { id: string; size: number }[]) =>
    `<${title}>${blocks.map(({ id, size }) => `<Block><Name>${id}</Name><Size>${size}</Size></Block>`).join('')}</${title}>`
  const waiting = blobs.waiting(name)
  if (kind === 'uncommitted') return `<BlockList>${list('UncommittedBlocks', waiting)}</BlockList>`
  return `<BlockList>${list('CommittedBlocks', blobs.get(name).blocks)}</BlockList>`
}

/** A page. Its marker is opaque, and a page may be short, or empty, before the end: the service does both. */
function listing(asked: Asked, blobs: Blobs): string {
  const prefix = asked.query.get('prefix') ?? ''
  const delimiter = asked.query.get('delimiter') ?? ''
  const wanted = Math.min(Number(asked.query.get('maxresults') ?? PAGE), PAGE)
  const [from, empty] = markerOf(asked.query.get('marker'))
  const items = itemsOf(blobs.names(), prefix, delimiter)
  const page = empty ? [] : items.slice(from, from + wanted)
  const next = from + page.length
  const marker = next < items.length ? Buffer.from(`${next} ${empty ? 'full' : 'empty'}`).toString('base64') : ''
  const entries = page.map((item) =>
    item.endsWith('/') ? `<BlobPrefix><Name>${escaped(item)}</Name></BlobPrefix>` : entryOf(item, blobs.get(item)),
  )
  return `<EnumerationResults ContainerName="container"><Blobs>${entries.join('')}</Blobs><NextMarker>${marker}</NextMarker></EnumerationResults>`
}

function markerOf(marker: string | null): readonly [number, boolean] {
  if (!marker) return [0, false]
  const [at, kind] = Buffer.from(marker, 'base64').toString().split(' ')
  return [Number(at), kind === 'empty']
}

/** Names below a prefix; with a delimiter those of one level, folders once and with a slash at their end. */
function itemsOf(names: readonly string[], prefix: string, delimiter: string): readonly string[] {
  const items = new Set<string>()
  const folders = new Set(names.flatMap((name) => (name.includes('/') ? [name.slice(0, name.lastIndexOf('/'))] : [])))
  for (const name of names) {
    if (!name.startsWith(prefix)) continue
    const at = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
    if (at >= 0) items.add(name.slice(0, at + 1))
    else if (delimiter === '' || !folders.has(name)) items.add(name)
  }
  return [...items]
}

function entryOf(name: string, blob: StoredBlob): string {
  const properties = [
    `<Last-Modified>${blob.modified.toUTCString()}</Last-Modified><Etag>${blob.etag}</Etag>`,
    `<Content-Length>${blob.content.length}</Content-Length><BlobType>BlockBlob</BlobType>`,
    blob.md5 === undefined ? '' : `<Content-MD5>${blob.md5}</Content-MD5>`,
  ]
  return `<Blob><Name>${escaped(name)}</Name><Properties>${properties.join('')}</Properties></Blob>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function xml(document: string): Answer {
  const body = Buffer.from(`<?xml version="1.0" encoding="utf-8"?>${document}`)
  return { status: 200, headers: { 'content-type': 'application/xml' }, body }
}

function failed(fault: Exclude<Fault, string>): Answer {
  const { status, code = '', message = 'said so', headers = {} } = fault
  const document = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${message}\nRequestId:1\nTime:2026</Message></Error>`
  const named = code === '' ? {} : { 'x-ms-error-code': code, 'content-type': 'application/xml' }
  return { status, headers: { ...named, ...headers }, ...(code === '' ? {} : { body: Buffer.from(document) }) }
}

function send(response: ServerResponse, method: string, { status, headers = {}, body }: Answer, torn: boolean): void {
  const length = body?.length ?? 0
  response.writeHead(status, { ...headers, 'content-length': length })
  if (method === 'HEAD' || !body) response.end()
  else if (torn) response.write(body.subarray(0, length >> 1), () => response.destroy())
  else response.end(body)
}

/** Shared Key, by its document: learn.microsoft.com, Authorize with Shared Key. */
function authenticate(asked: Asked, sas: string | undefined): void {
  if (asked.query.has('sig')) {
    const allowed = [...new URLSearchParams(sas ?? '')].every(([name, value]) => asked.query.get(name) === value)
    if (!sas || !allowed) throw new Refused(403, 'AuthenticationFailed')
    return
  }
  const header = (name: string) => asked.header(name) ?? ''
  const own = Object.keys(asked.headers).filter((name) => name.startsWith('x-ms-'))
  const names = [...new Set([...asked.query.keys()].map((name) => name.toLowerCase()))]
  const text = [
    asked.method,
    header('content-encoding'),
    header('content-language'),
    header('content-length') === '0' ? '' : header('content-length'),
    ...['content-md5', 'content-type', 'date', 'if-modified-since', 'if-match', 'if-none-match'].map(header),
    ...['if-unmodified-since', 'range'].map(header),
    ...own.sort().map((name) => `${name}:${header(name)}`),
    `/${testAccount.account}${asked.url.pathname}${names
      .sort()
      .map((name) => `\n${name}:${asked.query.getAll(name).join(',')}`)
      .join('')}`,
  ].join('\n')
  const signature = createHmac('sha256', Buffer.from(accountKey, 'base64')).update(text, 'utf8').digest('base64')
  if (header('authorization') !== `SharedKey ${testAccount.account}:${signature}`) {
    throw new Refused(403, 'AuthenticationFailed')
  }
}
