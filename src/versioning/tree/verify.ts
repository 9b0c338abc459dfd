import { crc32 } from 'node:zlib'
import { errorMessage } from '../../kernel/index.ts'
import { type Content, isMarker, type TreeHash } from '../model/index.ts'
import { Boundary } from './boundary.ts'
import { decodeLeaf } from './codec.ts'
import { nodeHeader, TreeNode } from './node.ts'
import type { TreeSettings } from './types.ts'

/** What a node says of itself and below, for its parent to be compared with. */
export interface NodeSummary {
  /** Of its last key, number of objects and sum of bytes. */
  readonly digest: number
  /** True if its last item is a cut: only the last node of a level may end without one. */
  readonly cut: boolean
}

/** What an inner node says of one below it. */
export interface ChildClaim {
  readonly hash: TreeHash
  readonly digest: number
  readonly objects: number
  /** Its files are those above this key, up to and with its last one. */
  readonly above: Buffer | undefined
  readonly last: Buffer
}

/** A content that an entry of a leaf refers to, with the size that the entry gives. */
export interface LeafContent {
  readonly key: Buffer
  readonly size: number
  readonly content: Content
}

/** A node taken apart by the rules of the tree. */
export interface VerifiedNode extends NodeSummary {
  readonly level: number
  readonly objects: number
  readonly bytes: number
  /** Folder markers among the entries of a leaf: no files. */
  readonly markers: number
  readonly children: readonly ChildClaim[]
  readonly contents: readonly LeafContent[]
  /** Each in one sentence; empty for a node that the writer of trees would have made. */
  readonly problems: readonly string[]
}

/** Checks nodes against the rules that they were written by: format, order of keys, sums, where nodes end, entries. */
export class NodeVerifier {
  readonly #settings: TreeSettings
  readonly #boundaries: Boundary[] = []

  constructor(settings: TreeSettings) {
    this.#settings = settings
  }

  /** Of a body whose hash is right. Throws Corrupt if it is no node at all. */
  verify(body: Buffer): VerifiedNode {
    const node = new TreeNode(body)
    const problems: string[] = []
    if (node.count === 0) problems.push('it is empty')
    for (let i = 1; i < node.count; i++) {
      if (node.compare(i - 1, node.key(i)) >= 0) problems.push(`its key ${i} is not after the one before`)
    }
    const sums = { objects: 0, bytes: 0 }
    for (let i = 0; i < node.count; i++) {
      sums.objects += node.objects(i)
      sums.bytes = Math.min(Number.MAX_SAFE_INTEGER, sums.bytes + node.size(i))
    }
    const cut = this.#checkCuts(node, problems)
    const leaf = node.level === 0 ? entriesOf(node, problems) : { markers: 0, contents: [] }
    const last = node.count === 0 ? Buffer.alloc(0) : node.key(node.count - 1)
    return {
      level: node.level,
      ...sums,
      ...leaf,
      children: node.level === 0 ? [] : childrenOf(node),
      cut,
      digest: digestOf(last, sums.objects, sums.bytes),
      problems,
    }
  }

  /** Every item that is a cut must be the last one. Returns whether the last one is. */
  #checkCuts(node: TreeNode, problems: string[]): boolean {
    const boundary = this.#boundary(node.level)
    const header = nodeHeader(node.level, node.count).length
    let before = 0
    for (let i = 0; i < node.count; i++) {
      const after = node.valueEnd(i) - header
      const cut = boundary.cutsAfter(before, after, node.keys, node.keyStart(i), node.keyEnd(i))
      if (i === node.count - 1) return cut
      if (cut) problems.push(`it goes on after its item ${i}, where a node ends`)
      before = after
    }
    return false
  }

  #boundary(level: number): Boundary {
    this.#boundaries[level] ??= new Boundary(this.#settings.salt, level)
    return this.#boundaries[level]
  }
}

function digestOf(last: Buffer, objects: number, bytes: number): number {
  const sums = Buffer.alloc(16)
  sums.writeDoubleLE(objects, 0)
  sums.writeDoubleLE(bytes, 8)
  return crc32(last, crc32(sums))
}

function childrenOf(node: TreeNode): readonly ChildClaim[] {
  const children: ChildClaim[] = []
  for (let i = 0; i < node.count; i++) {
    children.push({
      hash: node.childHash(i),
      digest: digestOf(node.key(i), node.objects(i), node.size(i)),
      objects: node.objects(i),
      above: i === 0 ? undefined : node.key(i - 1),
      last: node.key(i),
    })
  }
  return children
}

function entriesOf(node: TreeNode, problems: string[]): { markers: number; contents: readonly LeafContent[] } {
  const contents: LeafContent[] = []
  let markers = 0
  for (let i = 0; i < node.count; i++) {
    const { key, size, value } = node.item(i)
    if (isMarker(key.toString(), size)) markers++
    try {
      const entry = decodeLeaf(key, value)
      const { content } = entry
      if (entry.size !== size) problems.push(`it counts ${entry.path} with another size than its entry has`)
      if (content.kind === 'inline' && content.bytes.length !== entry.size) {
        problems.push(`${entry.path} has ${content.bytes.length} bytes in its entry, not ${entry.size}`)
      }
      if (content.kind !== 'inline') contents.push({ key, size: entry.size, content })
    } catch (error) {
      problems.push(`the entry of ${key.toString()} can't be read: ${errorMessage(error)}`)
    }
  }
  return { markers, contents }
}
