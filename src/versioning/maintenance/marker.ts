import { setTimeout as delay } from 'node:timers/promises'
import { Manifest, type Marks } from '../content/index.ts'
import type { Content, TreeHash } from '../model/index.ts'
import { contentsOf, EMPTY_TREE } from '../tree/index.ts'
import type { Bodies } from './bodies.ts'
import { Visited } from './visited.ts'

/** Nodes read by one statement. */
const NODES_AT_ONCE = 64
/** A third of the time is left to those who are served: two cores may be all there are. */
const WORK_MS = 20
const REST_MS = 10

/** Marks what trees and contents refer to. Whatever can't be read ends it: what is below it would be taken for garbage. */
export class Marker {
  readonly #bodies: Bodies
  readonly #visited = new Visited()
  readonly #marks: Marks
  readonly #onProgress: (nodes: number) => void
  #worked = performance.now()
  nodes = 0
  entries = 0

  constructor(parts: { bodies: Bodies; marks: Marks; onProgress: (nodes: number) => void }) {
    this.#bodies = parts.bodies
    this.#marks = parts.marks
    this.#onProgress = parts.onProgress
  }

  isMarkedNode(hash: Buffer): boolean {
    return this.#visited.has(hash)
  }

  /** False if there were more nodes than can be remembered: then it is not known of any that it is unmarked. */
  get knowsAllNodes(): boolean {
    return !this.#visited.full
  }

  isMarkedChunk(sha256: Buffer): boolean {
    return this.#marks.has(sha256)
  }

  /** A tree with everything below it. */
  async tree(root: TreeHash): Promise<void> {
    await this.#walk(root, (contents) => this.content(contents))
  }

  async content(content: Content): Promise<void> {
    this.entries++
    if (content.kind === 'inline') return
    this.#marks.add(content.sha256)
    if (content.kind === 'manifest') await this.manifest(content.sha256)
  }

  async manifest(sha256: Buffer): Promise<void> {
    this.#marks.add(sha256)
    if (!this.#visited.add(sha256)) return
    const manifest = new Manifest(await this.#bodies.chunk(sha256))
    for (let i = 0; i < manifest.count; i++) {
      const { content } = manifest.entry(i)
      // A manifest's memory is used again: its hashes are.
      if (content.kind !== 'inline') await this.content({ kind: content.kind, sha256: Buffer.from(content.sha256) })
    }
  }

  /** Whether all that a tree refers to is marked already; it is not marked itself. */
  async isBacked(root: TreeHash): Promise<boolean> {
    let backed = true
    const looked = new Visited(2 ** 16)
    await this.#walk(
      root,
      async (content) => {
        if (content.kind !== 'inline' && !this.#marks.has(content.sha256)) backed = false
      },
      looked,
      () => backed,
    )
    return backed
  }

  async #walk(
    root: TreeHash,
    onContent: (content: Content) => Promise<void>,
    visited = this.#visited,
    goOn = () => true,
  ): Promise<void> {
    if (root === EMPTY_TREE) return
    const first = Buffer.from(root, 'hex')
    if (!visited.add(first)) return
    const waiting: Buffer[] = [first]
    while (waiting.length > 0 && goOn()) {
      // The last ones: depth first, so that few wait.
      const some = waiting.splice(-NODES_AT_ONCE)
      for (const body of await this.#bodies.nodes(some)) {
        const { children, contents } = contentsOf(body)
        for (const child of children) if (visited.add(child)) waiting.push(child)
        for (const content of contents) await onContent(content)
        this.nodes++
      }
      await this.#rest()
    }
  }

  async #rest(): Promise<void> {
    if (performance.now() - this.#worked < WORK_MS) return
    this.#onProgress(this.nodes)
    await delay(REST_MS)
    this.#worked = performance.now()
  }
}
