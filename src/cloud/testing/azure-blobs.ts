import { createHash } from 'node:crypto'

/** A block blob, or a folder of a hierarchical namespace. */
export interface StoredBlob {
  readonly content: Buffer
  readonly etag: string
  readonly md5: string | undefined
  readonly modified: Date
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  /** What it was committed from. */
  readonly blocks: readonly { readonly id: string; readonly size: number }[]
  readonly isFolder?: boolean
  /** How often its state is asked for before the copy that it is has ended. */
  pendingCopy?: number
}

/** What the service answers instead of doing it: `[status, code]`. */
export class Refused extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string) {
    super(code)
    this.status = status
    this.code = code
  }
}

export interface BlobConditions {
  readonly ifMatch: string | undefined
  readonly ifNoneMatch: string | undefined
}

export type BlobHead = Pick<StoredBlob, 'contentType' | 'metadata'> & { readonly md5?: string | undefined }

/** The blobs of one container, as the service keeps them: what it does with conditions, and with blocks that wait. */
export class Blobs {
  readonly #blobs = new Map<string, StoredBlob>()
  readonly #waiting = new Map<string, Map<string, Buffer>>()
  readonly #hierarchical: boolean
  #changes = 0

  constructor(hierarchical: boolean) {
    this.#hierarchical = hierarchical
  }

  get(name: string): StoredBlob {
    const blob = this.#blobs.get(name) ?? (this.#isFolder(name) ? this.#folder() : undefined)
    if (!blob) throw new Refused(404, 'BlobNotFound')
    return blob
  }

  put(name: string, content: Buffer, head: BlobHead, conditions: BlobConditions): StoredBlob {
    this.#check(name, conditions)
    const md5 = createHash('md5').update(content).digest('base64')
    return this.#set(name, { ...head, content, md5: head.md5 ?? md5, blocks: [] })
  }

  delete(name: string): void {
    if (!this.#blobs.delete(name)) throw new Refused(404, 'BlobNotFound')
    this.#waiting.delete(name)
  }

  copy(from: string, to: string, pending: number): StoredBlob {
    if (!this.#blobs.has(from)) throw new Refused(404, 'CannotVerifyCopySource')
    const copied = this.#set(to, this.get(from))
    copied.pendingCopy = pending
    return copied
  }

  stage(name: string, id: string, content: Buffer): void {
    if (content.length === 0) throw new Refused(400, 'InvalidHeaderValue')
    const waiting = this.#waiting.get(name) ?? new Map<string, Buffer>()
    const [other] = waiting.keys()
    if (other !== undefined && other.length !== id.length) throw new Refused(400, 'InvalidBlobOrBlock')
    this.#waiting.set(name, waiting.set(id, content))
  }

  commit(name: string, ids: readonly string[], head: BlobHead, conditions: BlobConditions): StoredBlob {
    this.#check(name, conditions)
    const waiting = this.#waiting.get(name)
    const committed = this.#committed(name)
    const bodies = ids.map((id) => {
      // "Latest": as it waits, or else as it was committed before.
      const body = waiting?.get(id) ?? committed.get(id)
      if (!body) throw new Refused(400, 'InvalidBlockList')
      return body
    })
    const blocks = ids.map((id, index) => ({ id, size: bodies[index]!.length }))
    return this.#set(name, { ...head, content: Buffer.concat(bodies), md5: head.md5, blocks })
  }

  #committed(name: string): ReadonlyMap<string, Buffer> {
    const { content, blocks } = this.#blobs.get(name) ?? { content: Buffer.alloc(0), blocks: [] }
    const ends = blocks.map((_, index) => blocks.slice(0, index + 1).reduce((sum, { size }) => sum + size, 0))
    return new Map(blocks.map(({ id, size }, index) => [id, content.subarray(ends[index]! - size, ends[index])]))
  }

  waiting(name: string): readonly { id: string; size: number }[] {
    const blocks = this.#waiting.get(name)
    if (!blocks && !this.#blobs.has(name)) throw new Refused(404, 'BlobNotFound')
    return [...(blocks ?? [])].map(([id, { length: size }]) => ({ id, size }))
  }

  /** In the order of the service: by UTF-16 units; a hierarchical namespace, segment by segment, and with its folders. */
  names(): readonly string[] {
    const names = new Set(this.#blobs.keys())
    if (this.#hierarchical) {
      for (const name of this.#blobs.keys()) {
        for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) names.add(name.slice(0, at))
      }
    }
    const ordered = (name: string) => (this.#hierarchical ? name.replaceAll('/', '\0') : name)
    return [...names].sort((a, b) => (ordered(a) < ordered(b) ? -1 : 1))
  }

  #set(name: string, blob: Omit<StoredBlob, 'etag' | 'modified'>): StoredBlob {
    const stored = { ...blob, etag: `0x8DC${(++this.#changes).toString(16).toUpperCase()}`, modified: new Date() }
    this.#blobs.set(name, stored)
    // Any write of a blob throws away what waits at it.
    this.#waiting.delete(name)
    return stored
  }

  #check(name: string, { ifMatch, ifNoneMatch }: BlobConditions): void {
    const there = this.#blobs.get(name)
    if (ifNoneMatch === '*' && there) throw new Refused(409, 'BlobAlreadyExists')
    if (ifMatch !== undefined && ifMatch !== `"${there?.etag}"`) throw new Refused(412, 'ConditionNotMet')
  }

  #isFolder(name: string): boolean {
    return this.#hierarchical && [...this.#blobs.keys()].some((key) => key.startsWith(`${name}/`))
  }

  #folder(): StoredBlob {
    return {
      content: Buffer.alloc(0),
      etag: '0x8DC0',
      md5: undefined,
      modified: new Date(0),
      contentType: 'application/octet-stream',
      metadata: { hdi_isfolder: 'true' },
      blocks: [],
      isFolder: true,
    }
  }
}
