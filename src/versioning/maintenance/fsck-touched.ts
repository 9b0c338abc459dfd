import type { Touched, TouchedHolder, TouchedPath } from '../fsck.ts'
import type { TreeHash } from '../model/index.ts'
import { EMPTY_TREE, NodeVerifier, type VerifiedNode } from '../tree/index.ts'
import type { ContentCheck } from './fsck-content.ts'
import type { FsckRun } from './fsck-run.ts'
import type { TreeCheck } from './fsck-trees.ts'
import { NodeSet } from './node-set.ts'

/** Named of one fault; the rest is counted. */
const MAX_NAMED = 20
/** Different paths of one fault that are counted; at that many it is said that there are no fewer. */
const MAX_COUNTED = 100_000

class Touches {
  readonly #holders: TouchedHolder[] = []
  #holdersTotal = 0
  readonly #paths: TouchedPath[] = []
  readonly #seen = new Set<string>()

  holder(holder: TouchedHolder): void {
    const last = this.#holders.at(-1)
    if (last && last.repo === holder.repo && last.branch === holder.branch && last.commit === holder.commit) return
    this.#holdersTotal++
    if (this.#holders.length < MAX_NAMED) this.#holders.push(holder)
  }

  path(path: TouchedPath): void {
    const key = `${path.repo}:${path.path}`
    if (this.#seen.has(key) || this.#seen.size >= MAX_COUNTED) return
    this.#seen.add(key)
    if (this.#paths.length < MAX_NAMED) this.#paths.push(path)
  }

  get touched(): Touched {
    return {
      holders: this.#holders,
      holdersTotal: this.#holdersTotal,
      paths: this.#paths,
      pathsTotal: this.#seen.size,
    }
  }
}

/**
 * Says which commits and paths the suspects touch, by a second walk that steps over all that is sound. What no tree and no version has
 * any more was removed meanwhile and is no fault.
 */
export class TouchedBy {
  readonly nodes = new Map<TreeHash, Touches>()
  readonly contents = new Map<string, Touches>()
  readonly #run: FsckRun
  readonly #trees: TreeCheck
  readonly #contentCheck: ContentCheck
  readonly #verifier: NodeVerifier
  readonly #clean = new NodeSet(2 ** 20)

  constructor(run: FsckRun, trees: TreeCheck, contents: ContentCheck) {
    this.#run = run
    this.#trees = trees
    this.#contentCheck = contents
    this.#verifier = new NodeVerifier(run.settings)
  }

  async tree(root: TreeHash, holder: TouchedHolder): Promise<void> {
    if (root !== EMPTY_TREE) await this.#walk(root, holder, undefined)
  }

  /** A content of a row beside the trees. */
  async row(sha256: string, holder: TouchedHolder, path: TouchedPath): Promise<void> {
    if (this.#contentCheck.suspects.has(sha256)) this.#touch(this.contents, sha256, holder, path)
  }

  /** True if something below is damaged. */
  async #walk(hash: TreeHash, holder: TouchedHolder, range: TouchedPath | undefined): Promise<boolean> {
    if (this.#clean.has(hash)) return false
    await this.#run.pace()
    const reason = this.#trees.suspects.get(hash)
    const body = await this.#trees.body(hash)
    if (typeof body === 'string') {
      // It may be damaged since the first walk.
      this.#trees.suspects.set(hash, body)
      this.#touch(this.nodes, hash, holder, range)
      return true
    }
    const gone = reason === 'it is missing' || reason === 'its bytes have changed'
    if (gone) this.#trees.suspects.delete(hash)
    let dirty = reason !== undefined && !gone
    if (dirty) this.#touch(this.nodes, hash, holder, range)
    const node = this.#verify(body)
    if (node === undefined) return true
    if (await this.#leaf(node, holder)) dirty = true
    for (const { hash: child, above, last, objects } of node.children) {
      const from = above === undefined ? '' : ` after ${above.toString()}`
      const path = `${objects} files${from} up to and with ${last.toString()}`
      if (await this.#walk(child, holder, { repo: holder.repo, path })) dirty = true
    }
    if (!dirty) this.#clean.add(hash)
    return dirty
  }

  async #leaf(node: VerifiedNode, holder: TouchedHolder): Promise<boolean> {
    let dirty = false
    for (const { key, content } of node.contents) {
      if (content.kind === 'inline') continue
      const sha256 = content.sha256.toString('hex')
      if (!this.#contentCheck.suspects.has(sha256)) continue
      dirty = true
      this.#touch(this.contents, sha256, holder, { repo: holder.repo, path: key.toString() })
    }
    return dirty
  }

  #verify(body: Buffer): VerifiedNode | undefined {
    try {
      return this.#verifier.verify(body)
    } catch {
      // Told in the first walk already: it is among the suspects.
      return undefined
    }
  }

  #touch<Key>(map: Map<Key, Touches>, key: Key, holder: TouchedHolder, path: TouchedPath | undefined): void {
    const touches = map.get(key) ?? new Touches()
    map.set(key, touches)
    touches.holder(holder)
    if (path) touches.path(path)
  }
}
