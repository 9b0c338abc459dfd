import { pipeline, type Readable } from 'node:stream'
import { checkLength, MeasuredBody, md5Hex, translatedBody } from '../body.ts'
import { deleteEach } from '../delete-each.ts'
import { checkListed, checkRange, pageLimit } from '../key-rules.ts'
import {
  type GetRange,
  isMissingObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  StoreDenied,
  type StoreError,
  StoreRejected,
  StoreUnreachable,
  type UploadOptions,
} from '../object-store.ts'
import { rootOf } from '../target.ts'
import { GcsConnection, type GcsStoreOptions, query } from './connection.ts'
import { crc32cBase64, crc32cHex, crc32cOf } from './crc32c.ts'
import { createGcsUpload, resumeGcsUpload } from './gcs-uploads.ts'
import { insertRequest } from './multipart.ts'
import { checkReceived } from './received.ts'
import {
  infoOf,
  OBJECT_FIELDS,
  PAGE_FIELDS,
  parseDocument,
  parseResource,
  REWRITE_FIELDS,
  type Resource,
} from './resource.ts'

export type { GcsStoreOptions } from './connection.ts'

/** A page may be empty and yet not the last one; so many in a row are a fault. */
const MAX_EMPTY_PAGES = 1000
/** Each call copies for up to half a minute. */
const MAX_COPY_CALLS = 10_000

/**
 * A folder of a bucket of Google Cloud Storage, or of a server that speaks its JSON API. ETags are generations. Throws
 * StoreDenied if the host's own identity were to be shown to somebody else's endpoint.
 */
export function openGcsStore(options: GcsStoreOptions): ObjectStore {
  return new GcsStore(new GcsConnection(options))
}

class GcsStore implements ObjectStore {
  readonly url: string
  readonly #to: GcsConnection

  constructor(connection: GcsConnection) {
    this.url = connection.target.url
    this.#to = connection
  }

  async put(key: string, body: Buffer | Readable, size: number, options: PutOptions = {}): Promise<ObjectInfo> {
    const resource = Buffer.isBuffer(body)
      ? await this.#putBuffer(key, body, size, options)
      : await this.#putStream(key, body, size, options)
    return infoOf(key, resource)
  }

  async #putBuffer(key: string, content: Buffer, size: number, options: PutOptions): Promise<Resource> {
    checkLength(content, size)
    const md5 = md5Hex(content)
    if (options.md5 !== undefined && options.md5.toLowerCase() !== md5) {
      throw new StoreRejected('the content is not what its MD5 says', { md5 })
    }
    const crc = crc32cOf(content)
    const name = this.#to.fullKey(key)
    const request = insertRequest(this.#to, name, { content, size, crc32c: crc32cBase64(crc) }, { ...options, md5 })
    const send = async () => {
      const resource = parseResource(parseDocument((await this.#to.once(request)).body), name)
      await checkReceived(this.#to, resource, { size, md5, crc32c: crc32cHex(crc) })
      return resource
    }
    // A condition is tried once: had only the answer been lost, the next try would find its own object.
    return options.only ? send() : this.#to.retrying(send, options.signal)
  }

  async #putStream(key: string, body: Readable, size: number, options: PutOptions): Promise<Resource> {
    const measured = new MeasuredBody(size, options.md5)
    try {
      // What goes wrong with the body reaches the request through `measured`.
      pipeline(body, measured, () => undefined)
      const name = this.#to.fullKey(key)
      const request = insertRequest(this.#to, name, { content: measured, size }, options)
      const resource = parseResource(parseDocument((await this.#to.once(request)).body), name)
      await checkReceived(this.#to, resource, { size, md5: measured.md5() })
      return resource
    } finally {
      body.destroy()
      measured.destroy()
    }
  }

  async get(key: string, range?: GetRange): Promise<Readable> {
    if (range) checkRange(range)
    const body = await this.#to.open({
      method: 'GET',
      path: this.#to.path(this.#to.fullKey(key)) + query({ alt: 'media' }),
      // What somebody stored with a content encoding comes as it is stored, not decoded on the way.
      headers: { 'accept-encoding': 'gzip', ...(range ? { range: `bytes=${range.start}-${range.end - 1}` } : {}) },
      subject: 'object',
    })
    return translatedBody(body, (error) => this.#to.translate(error))
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    try {
      const path = this.#to.path(this.#to.fullKey(key)) + query({ fields: OBJECT_FIELDS })
      const answer = await this.#to.again({ method: 'GET', path, subject: 'object' })
      return infoOf(key, parseResource(parseDocument(answer.body)))
    } catch (error) {
      if (isMissingObject(error)) return undefined
      throw error
    }
  }

  async list({ prefix = '', after = '', limit }: ListOptions = {}): Promise<ListPage> {
    const root = rootOf(this.#to.target)
    // Starting after the folder's own marker leaves it out: its key here would be empty.
    const startAfter = root + after
    const asked = { service: this.#to.place.service, prefix: root + prefix, after: startAfter }
    const wanted = pageLimit(limit)
    let pageToken: string | undefined
    for (let page = 0; page < MAX_EMPTY_PAGES; page++) {
      const answer = await this.#to.again({
        method: 'GET',
        path:
          this.#to.path() +
          query({
            prefix: root + prefix || undefined,
            // The service begins with this name itself, if it is there.
            startOffset: startAfter || undefined,
            maxResults: String(pageLimit(wanted + (startAfter === '' ? 0 : 1))),
            pageToken,
            fields: PAGE_FIELDS,
          }),
        subject: 'bucket',
      })
      const { items, nextPageToken } = parseDocument(answer.body)
      const found = (Array.isArray(items) ? items : [])
        .map((item) => parseResource(item))
        .filter(({ name }) => name !== startAfter)
      for (const { name } of found) checkListed(name, asked)
      const objects = found.slice(0, wanted).map((resource) => listed(resource, root))
      const last = objects.at(-1)
      pageToken = typeof nextPageToken === 'string' && nextPageToken !== '' ? nextPageToken : undefined
      if (last && (pageToken !== undefined || found.length > wanted)) return { objects, next: last.key }
      if (pageToken === undefined) return { objects }
    }
    throw new StoreUnreachable(`${this.#to.place.service} lists nothing but empty pages`)
  }

  async delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    return deleteEach(keys, (key) => this.#deleteOne(key))
  }

  /** What is refused of one key is said of it; what fails for all is thrown. */
  async #deleteOne(key: string): Promise<StoreError | undefined> {
    try {
      await this.#to.again({ method: 'DELETE', path: this.#to.path(this.#to.fullKey(key)), subject: 'object' })
      return undefined
    } catch (error) {
      if (isMissingObject(error)) return undefined
      if (error instanceof StoreRejected || error instanceof StoreDenied) return error
      throw error
    }
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    const target = this.#to.path(this.#to.fullKey(to)).replace('/storage/v1', '')
    const path = `${this.#to.path(this.#to.fullKey(from))}/rewriteTo${target}`
    let rewriteToken: string | undefined
    for (let call = 0; call < MAX_COPY_CALLS; call++) {
      const answer = await this.#to.again({
        method: 'POST',
        path: path + query({ rewriteToken, fields: REWRITE_FIELDS }),
        subject: 'object',
      })
      const document = parseDocument(answer.body)
      if (document['done'] === true) return infoOf(to, parseResource(document['resource']))
      if (typeof document['rewriteToken'] !== 'string') break
      rewriteToken = document['rewriteToken']
    }
    throw new StoreUnreachable(`${this.#to.place.service} did not end a copy`, { from, to })
  }

  async createUpload(key: string, options: UploadOptions): Promise<PartUpload> {
    return createGcsUpload(this.#to, key, options)
  }

  async resumeUpload(key: string, uploadId: string): Promise<PartUpload> {
    return resumeGcsUpload(this.#to, key, uploadId)
  }

  async close(): Promise<void> {
    this.#to.close()
  }
}

function listed(resource: Resource, root: string): ListPage['objects'][number] {
  const { contentType: _, metadata: __, ...info } = infoOf(resource.name.slice(root.length), resource)
  return info
}
