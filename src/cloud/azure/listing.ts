import type {
  BlobItem,
  ContainerListBlobFlatSegmentResponse,
  ContainerListBlobHierarchySegmentResponse,
} from '@azure/storage-blob'
import { notAskedFor, pageLimit } from '../key-rules.ts'
import { type ListOptions, type ListPage, StoreDenied, StoreRejected } from '../object-store.ts'
import { byteOrdered, type Listed } from './byte-order.ts'
import { type AzureConnection, bareEtag, md5Hex } from './connection.ts'

type Entry = ListPage['objects'][number]

/** A page may be empty and yet not the last one; so many in a row are a fault. */
const MAX_EMPTY_PAGES = 1000

/** Azure: 1,024. */
const MAX_NAME_CHARACTERS = 1024

/** Listings that were left in the middle, to go on from. Each keeps a page of entries at most. */
const MAX_LEFT_OPEN = 8

interface LeftOpen {
  readonly prefix: string
  /** The last key that was given out, and the one that comes next. */
  readonly after: string
  readonly pending: Entry
  readonly rest: AsyncGenerator<Entry>
}

/**
 * Lists in UTF-8 byte order. The service goes on by opaque markers alone, so that a listing that is asked on from its last key
 * is kept for that; from any other key it begins anew, and passes over what comes before. Accounts with a hierarchical namespace list
 * a folder before what follows it (`a/1` before `a-b`): there it is read folder by folder.
 */
export class AzureListing {
  readonly #to: AzureConnection
  readonly #leftOpen: LeftOpen[] = []
  #hierarchical: Promise<boolean> | undefined

  constructor(to: AzureConnection) {
    this.#to = to
  }

  async page({ prefix = '', after = '', limit }: ListOptions = {}): Promise<ListPage> {
    const wanted = pageLimit(limit)
    const open = this.#takeUp(prefix, after)
    const rest = open?.rest ?? this.#entries(prefix, after, wanted + 1)
    const objects: Entry[] = open ? [open.pending] : []
    while (objects.length < wanted) {
      const { value, done } = await rest.next()
      if (done) return { objects }
      objects.push(value)
    }
    const following = await rest.next()
    const last = objects.at(-1)!.key
    if (following.done) return { objects }
    if (this.#leftOpen.length >= MAX_LEFT_OPEN) this.#leftOpen.shift()
    this.#leftOpen.push({ prefix, after: last, pending: following.value, rest })
    return { objects, next: last }
  }

  #takeUp(prefix: string, after: string): LeftOpen | undefined {
    const at = this.#leftOpen.findIndex((left) => left.prefix === prefix && left.after === after)
    return at < 0 ? undefined : this.#leftOpen.splice(at, 1)[0]
  }

  async *#entries(prefix: string, after: string, pageSize: number): AsyncGenerator<Entry> {
    this.#hierarchical ??= this.#askWhetherHierarchical()
    const hierarchical = await this.#hierarchical.catch((error: unknown) => {
      this.#hierarchical = undefined
      throw error
    })
    const { root } = this.#to
    const names = hierarchical
      ? this.#walk(root + prefix, root + after, pageSize)
      : byteOrdered(this.#flat(root + prefix, pageSize))
    let last: Buffer | undefined
    for await (const { name, blob } of names) {
      if (!blob || name.length <= root.length || isFolder(blob)) continue
      const bytes = Buffer.from(name)
      if (last && Buffer.compare(last, bytes) >= 0) throw disordered(this.#to.place.service, name)
      last = bytes
      const entry = entryOf(name.slice(root.length), blob)
      if (after === '' || Buffer.compare(Buffer.from(after), Buffer.from(entry.key)) < 0) yield entry
    }
  }

  async *#flat(prefix: string, pageSize: number): AsyncGenerator<Listed> {
    let empty = 0
    for (let marker: string | undefined; ; ) {
      const page = await this.#to.again(async (): Promise<ContainerListBlobFlatSegmentResponse | undefined> => {
        const pages = this.#to.container.listBlobsFlat({ prefix }).byPage(paging(pageSize, marker))
        return (await pages.next()).value
      })
      const blobs = (page?.segment.blobItems ?? []).map((blob): Listed => ({ name: blob.name, blob }))
      empty = blobs.length === 0 ? empty + 1 : 0
      this.#checkPage(blobs, prefix, empty)
      yield* blobs
      const next: string | undefined = page?.continuationToken
      if (!next || next === marker) return
      marker = next
    }
  }

  /** Everything whose name begins with a prefix, but for folders that end before `after`. */
  async *#walk(prefix: string, after: string, pageSize: number): AsyncGenerator<Listed> {
    for await (const item of byteOrdered(this.#level(prefix, pageSize))) {
      const behind = Buffer.compare(Buffer.from(item.name), Buffer.from(after)) > 0 || after.startsWith(item.name)
      if (item.blob) yield item
      else if (behind) yield* this.#walk(item.name, after, pageSize)
    }
  }

  /** The names of one level that begin with a prefix; folders end in a slash. */
  async *#level(prefix: string, pageSize: number): AsyncGenerator<Listed> {
    let empty = 0
    for (let marker: string | undefined; ; ) {
      const page = await this.#to.again(async (): Promise<ContainerListBlobHierarchySegmentResponse | undefined> => {
        const options = { prefix, includeMetadata: true }
        const pages = this.#to.container.listBlobsByHierarchy('/', options).byPage(paging(pageSize, marker))
        return (await pages.next()).value
      })
      const blobs = (page?.segment.blobItems ?? []).map((blob): Listed => ({ name: blob.name, blob }))
      const folders = (page?.segment.blobPrefixes ?? []).map(({ name }): Listed => ({ name, blob: undefined }))
      empty = blobs.length + folders.length === 0 ? empty + 1 : 0
      this.#checkPage([...blobs, ...folders], prefix, empty)
      yield* inServerOrder([...blobs, ...folders])
      const next: string | undefined = page?.continuationToken
      if (!next || next === marker) return
      marker = next
    }
  }

  /** What is gone into must be deeper than where it was found: else a listing could be led around for ever. */
  #checkPage(items: readonly Listed[], prefix: string, empty: number): void {
    const { service } = this.#to.place
    const odd = items.find(
      ({ name, blob }) =>
        !name.startsWith(prefix) ||
        name.length > MAX_NAME_CHARACTERS ||
        (!blob && (name.length <= prefix.length || !name.endsWith('/'))),
    )
    if (odd) throw notAskedFor(service, odd.name)
    if (empty > MAX_EMPTY_PAGES) throw new StoreRejected(`${service} lists nothing but empty pages`)
  }

  /** Not every signature may ask. Then it is taken for flat; an order that is not the flat one is noticed. */
  async #askWhetherHierarchical(): Promise<boolean> {
    try {
      const { isHierarchicalNamespaceEnabled } = await this.#to.again(() => this.#to.container.getAccountInfo())
      return isHierarchicalNamespaceEnabled === true
    } catch (error) {
      if (error instanceof StoreDenied || error instanceof StoreRejected) return false
      throw error
    }
  }
}

function paging(maxPageSize: number, continuationToken: string | undefined) {
  return { maxPageSize, ...(continuationToken === undefined ? {} : { continuationToken }) }
}

/** A page gives blobs and folders apart; by its order a folder stands where its name without the slash does. */
function inServerOrder(items: readonly Listed[]): readonly Listed[] {
  const bare = ({ name }: Listed) => name.replace(/\/$/, '')
  return [...items].sort((a, b) => (bare(a) < bare(b) ? -1 : bare(a) > bare(b) ? 1 : 0))
}

/** Folders of a hierarchical namespace are blobs of their own. */
export function isFolder({ metadata }: Pick<BlobItem, 'metadata'>): boolean {
  return metadata?.['hdi_isfolder']?.toLowerCase() === 'true'
}

function entryOf(key: string, { properties }: BlobItem): Entry {
  return {
    key,
    size: properties.contentLength ?? 0,
    etag: bareEtag(properties.etag),
    ...md5Hex(properties.contentMD5),
    modifiedMs: properties.lastModified.getTime(),
  }
}

function disordered(service: string, name: string): StoreRejected {
  return new StoreRejected(
    `${service} lists its objects in an order that is not known (${JSON.stringify(name)} came late): a secret that may read the account's information tells it`,
  )
}
