import { hash } from 'node:crypto'
import { Corrupt, errorMessage } from '../../kernel/index.ts'
import type { Content, TreeHash } from '../model/index.ts'
import { type ChildClaim, EMPTY_TREE, type LeafContent, NodeVerifier, type VerifiedNode } from '../tree/index.ts'
import type { ContentCheck } from './fsck-content.ts'
import type { FsckRun } from './fsck-run.ts'
import { NodeSet, type Remembered } from './node-set.ts'

/** Damaged nodes remembered. */
const MAX_SUSPECTS = 100_000
/** Nodes read in one statement. */
const NODES_AT_ONCE = 64
/** Deeper than any tree can be: damaged nodes must not recurse for ever. */
const MAX_LEVELS = 48

/** The sums of a whole tree, folder markers not counted as files. */
export interface TreeSums {
  readonly files: number
  readonly bytes: number
}

/** Walks trees, each node once whatever the number of trees that share it, and remembers what is damaged. */
export class TreeCheck {
  /** Nodes that are missing, changed or malformed, with the reason. */
  readonly suspects = new Map<TreeHash, string>()
  readonly #run: FsckRun
  readonly #contents: ContentCheck
  readonly #verifier: NodeVerifier
  readonly #seen = new NodeSet()
  #pending: LeafContent[] = []

  constructor(run: FsckRun, contents: ContentCheck) {
    this.#run = run
    this.#contents = contents
    this.#verifier = new NodeVerifier(run.settings)
  }

  /** The sums of a sound tree; undefined if it has damaged nodes. */
  async check(root: TreeHash): Promise<TreeSums | undefined> {
    this.#run.counts.trees++
    if (root === EMPTY_TREE) return { files: 0, bytes: 0 }
    if (this.suspects.has(root)) return undefined
    const body = await this.body(root)
    const node = typeof body === 'string' ? undefined : this.#verify(root, body)
    if (node === undefined) {
      if (typeof body === 'string') this.#suspect(root, body)
      return undefined
    }
    const markers = await this.#below(root, node, true)
    if (node.level > 0 && node.children.length < 2) this.#suspect(root, 'it is a root with one node below it')
    return markers === undefined ? undefined : { files: node.objects - markers, bytes: node.bytes }
  }

  /** Looks at what the contents of the leaves refer to. */
  async flush(): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    const faults = await this.#contents.faultsOf(pending)
    for (const [index, reason] of faults.entries()) {
      const claim = pending[index] as LeafContent
      const { sha256 } = claim.content as Exclude<Content, { kind: 'inline' }>
      if (reason !== undefined) this.#contents.suspect(sha256.toString('hex'), { reason, claim })
    }
  }

  /** A node's bytes, or why there are none. */
  async body(hash: TreeHash): Promise<Buffer | string> {
    const row = await this.#run.nodesDb.get<{ body: Buffer }>('SELECT body FROM node WHERE hash = ?', [
      Buffer.from(hash, 'hex'),
    ])
    return row === undefined ? 'it is missing' : soundBody(hash, row.body)
  }

  /** Several, by hash; what is missing is not in the answer. */
  async #bodies(hashes: readonly TreeHash[]): Promise<ReadonlyMap<string, Buffer>> {
    const rows = await this.#run.nodesDb.all<{ hash: Buffer; body: Buffer }>(
      'SELECT n.hash, n.body FROM json_each(?) AS wanted CROSS JOIN node AS n ON n.hash = unhex(wanted.value)',
      [JSON.stringify(hashes)],
    )
    return new Map(rows.map((row) => [row.hash.toString('hex'), row.body]))
  }

  /** Checks what is below a verified node and remembers it; returns its markers, undefined if something below is damaged. */
  async #below(hash: TreeHash, node: VerifiedNode, last: boolean): Promise<number | undefined> {
    let markers: number | undefined = node.markers
    for (const { key, size, content } of node.contents) this.#pending.push({ key, size, content })
    if (this.#pending.length >= 1000) await this.flush()
    for (let at = 0; at < node.children.length; at += NODES_AT_ONCE) {
      const some = node.children.slice(at, at + NODES_AT_ONCE)
      const fresh = some.filter((child) => !this.#seen.has(child.hash) && !this.suspects.has(child.hash))
      const bodies =
        fresh.length === 0 ? new Map<string, Buffer>() : await this.#bodies(fresh.map((child) => child.hash))
      await this.#run.pace()
      for (const [index, child] of some.entries()) {
        const lastChild = last && at + index === node.children.length - 1
        const below = await this.#child(node, child, bodies.get(child.hash), lastChild)
        markers = below === undefined || markers === undefined ? undefined : markers + below
      }
    }
    if (node.problems.length > 0) {
      this.#suspect(hash, node.problems.slice(0, 3).join('; '))
      return undefined
    }
    if (markers !== undefined) this.#seen.add(hash, { digest: node.digest, markers, flag: node.cut })
    return markers
  }

  async #child(
    parent: VerifiedNode,
    claim: ChildClaim,
    read: Buffer | undefined,
    last: boolean,
  ): Promise<number | undefined> {
    const { hash } = claim
    if (this.suspects.has(hash)) return undefined
    const seen = this.#seen.get(hash)
    if (seen !== undefined) return this.#compare(claim, seen, last) ? seen.markers : undefined
    const body = read === undefined ? await this.body(hash) : soundBody(hash, read)
    if (typeof body === 'string') return this.#suspect(hash, body)
    const node = this.#verify(hash, body)
    if (node === undefined) return undefined
    if (node.level !== parent.level - 1 || parent.level > MAX_LEVELS) {
      return this.#suspect(hash, 'it is on another level than its parent says')
    }
    const markers = await this.#below(hash, node, last)
    const { digest, cut } = node
    if (markers === undefined || !this.#compare(claim, { digest, markers, flag: cut }, last)) return undefined
    return markers
  }

  /** What the parent says of it must be so, and all but the last node of a level end with a cut. */
  #compare(claim: ChildClaim, { digest, flag }: Remembered, last: boolean): boolean {
    if (digest !== claim.digest)
      this.#suspect(claim.hash, 'its last key, files or bytes are not those that its parent says')
    else if (!flag && !last) this.#suspect(claim.hash, 'it ends where no node ends')
    else return true
    return false
  }

  #verify(hash: TreeHash, body: Buffer): VerifiedNode | undefined {
    try {
      const node = this.#verifier.verify(body)
      this.#run.counts.nodes++
      if (node.level === 0) this.#run.counts.files += node.objects
      return node
    } catch (error) {
      if (!(error instanceof Corrupt)) throw error
      return this.#suspect(hash, errorMessage(error))
    }
  }

  #suspect(hash: TreeHash, reason: string): undefined {
    if (this.suspects.size < MAX_SUSPECTS) this.suspects.set(hash, reason)
  }
}

function soundBody(expected: TreeHash, body: Buffer): Buffer | string {
  return hash('sha256', body, 'hex') === expected ? body : 'its bytes have changed'
}
