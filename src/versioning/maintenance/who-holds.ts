import type { Queries } from '../../kernel/index.ts'
import { Manifest } from '../content/index.ts'
import type { Holder } from '../maintenance.ts'
import type { Content, TreeHash } from '../model/index.ts'
import { contentsOf, EMPTY_TREE } from '../tree/index.ts'
import type { Bodies } from './bodies.ts'
import { contentReferences, type ReferenceSource, treeReferences } from './references.ts'
import { Visited } from './visited.ts'

/** Holders that are named; the others are counted. */
const MAX_NAMED = 100
/** Nodes and manifests that are known to hold it. */
const MAX_REMEMBERED = 100_000

export interface Held {
  readonly holder: Holder
  readonly path?: string
}

/** Looks for everybody who holds one node or content. A node is looked at once, however many commits share it. */
export class WhoHolds {
  readonly #wanted: Buffer
  readonly #bodies: Bodies
  readonly #without = new Visited()
  /** Nodes and manifests that hold it, by hash: with the first path, of nodes that have one. */
  readonly #with = new Map<string, string | undefined>()
  readonly held: Held[] = []
  total = 0
  /** True once something refers to it as to a manifest. */
  isManifest = false

  constructor(wanted: Buffer, bodies: Bodies) {
    this.#wanted = wanted
    this.#bodies = bodies
  }

  async look(queries: Queries, sources: readonly ReferenceSource[]): Promise<void> {
    for await (const { root, holder } of treeReferences(queries, sources)) {
      if (root === EMPTY_TREE) continue
      const found = await this.#inTree(Buffer.from(root, 'hex'))
      if (found) this.#add(holder, found.path)
    }
    for (const { results = [] } of sources) {
      for (const { select } of results) {
        for (const { root, key } of await queries.all<{ root: TreeHash; key: string }>(select)) {
          const found = root === EMPTY_TREE ? undefined : await this.#inTree(Buffer.from(root, 'hex'))
          if (found) this.#add({ kind: 'other', what: 'a result that may be used again', id: key }, found.path)
        }
      }
    }
    for await (const { content, holder, path } of contentReferences(queries)) {
      if (await this.#inContent(content)) this.#add(holder, path)
    }
  }

  #add(holder: Holder, path: string | undefined): void {
    this.total++
    if (this.held.length < MAX_NAMED) this.held.push({ holder, ...(path !== undefined && { path }) })
  }

  /** Undefined if it is not in it. */
  async #inTree(hash: Buffer): Promise<{ readonly path?: string } | undefined> {
    if (hash.equals(this.#wanted)) return {}
    const key = hash.toString('latin1')
    if (this.#with.has(key)) return pathOf(this.#with.get(key))
    if (this.#without.has(hash)) return undefined
    const { children, contents, keys } = contentsOf(await this.#bodies.node(hash))
    for (const child of children) {
      const found = await this.#inTree(child)
      if (found) return this.#remember(key, found.path)
    }
    for (const [at, content] of contents.entries()) {
      if (await this.#inContent(content)) return this.#remember(key, keys[at]?.toString())
    }
    this.#without.add(hash)
    return undefined
  }

  #remember(key: string, path: string | undefined): { readonly path?: string } {
    if (this.#with.size < MAX_REMEMBERED) this.#with.set(key, path)
    return pathOf(path)
  }

  async #inContent(content: Content): Promise<boolean> {
    if (content.kind === 'inline') return false
    if (content.sha256.equals(this.#wanted)) {
      if (content.kind === 'manifest') this.isManifest = true
      return true
    }
    if (content.kind !== 'manifest') return false
    const key = content.sha256.toString('latin1')
    if (this.#with.has(key)) return true
    if (this.#without.has(content.sha256)) return false
    const manifest = new Manifest(await this.#bodies.chunk(content.sha256))
    for (let i = 0; i < manifest.count; i++) {
      if (!(await this.#inContent(manifest.entry(i).content))) continue
      this.#remember(key, undefined)
      return true
    }
    this.#without.add(content.sha256)
    return false
  }
}

function pathOf(path: string | undefined): { readonly path?: string } {
  return path === undefined ? {} : { path }
}
