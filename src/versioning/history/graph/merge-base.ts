import type { Queries } from '../../../kernel/index.ts'
import type { CommitId } from '../../model/index.ts'

/** Commits of a branch read at once: a walk along it asks once for so many. */
const READ_AT_ONCE = 1_000
/** Branches whose commits are kept between reads. */
const MAX_BRANCHES = 64

const LEFT = 1
const RIGHT = 2
const BOTH = LEFT | RIGHT
/** Behind a common ancestor: a common ancestor too, and not one of the best. */
const STALE = 4

interface Node {
  readonly id: string
  /** Above that of all its ancestors: commits are numbered as they are made. */
  readonly number: number
  readonly branch_id: number
  readonly parent: string | null
  readonly merge_parent: string | null
}

/**
 * The best common ancestors of two sets of commits, over both parents, newest first: those that are no ancestor of another common one.
 * Each commit is visited once, in falling order of its number, so that all that leads to it was visited before; the walk ends as soon as
 * what is left is behind a common ancestor. It visits what lies between, and keeps only its front in memory.
 */
export async function bestCommonAncestors(
  queries: Queries,
  left: readonly CommitId[],
  right: readonly CommitId[],
): Promise<readonly CommitId[]> {
  const commits = new Commits(queries)
  const front = new Front()
  for (const id of left) front.add(await commits.get(id), LEFT)
  for (const id of right) front.add(await commits.get(id), RIGHT)
  const best: CommitId[] = []
  while (front.isOpen) {
    const { node, flags } = front.take()!
    let passed = flags
    if ((flags & BOTH) === BOTH) {
      if (!(flags & STALE)) best.push(node.id as CommitId)
      passed |= STALE
    }
    if (node.parent) front.add(await commits.get(node.parent), passed)
    if (node.merge_parent) front.add(await commits.get(node.merge_parent), passed)
  }
  return best
}

/** Commits of which all that leads to them is known, and those that are still to be visited: a heap by number. */
class Front {
  readonly #heap: Node[] = []
  readonly #flags = new Map<number, number>()
  /** Those of each side that are not behind a common ancestor. */
  #left = 0
  #right = 0

  /** Whether another common ancestor may be found that is not behind one that was. */
  get isOpen(): boolean {
    return this.#left > 0 && this.#right > 0
  }

  add(node: Node | undefined, flags: number): void {
    // What was collected has no commit in front of it that is kept.
    if (!node) return
    const known = this.#flags.get(node.number)
    const now = (known ?? 0) | flags
    if (known === undefined) this.#push(node)
    else this.#count(known, -1)
    this.#count(now, 1)
    this.#flags.set(node.number, now)
  }

  take(): { readonly node: Node; readonly flags: number } | undefined {
    const node = this.#pop()
    if (!node) return undefined
    const flags = this.#flags.get(node.number)!
    this.#flags.delete(node.number)
    this.#count(flags, -1)
    return { node, flags }
  }

  #count(flags: number, sign: 1 | -1): void {
    if (flags & STALE) return
    if (flags & LEFT) this.#left += sign
    if (flags & RIGHT) this.#right += sign
  }

  #push(node: Node): void {
    const heap = this.#heap
    let at = heap.push(node) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      if (heap[up]!.number >= node.number) break
      heap[at] = heap[up]!
      at = up
    }
    heap[at] = node
  }

  #pop(): Node | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (!last || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.number > heap[child]!.number) child++
      if (heap[child]!.number <= last.number) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}

/** Commits by id; with one come those before it on its branch, which the walk asks for next. */
class Commits {
  readonly #queries: Queries
  readonly #byBranch = new Map<number, Map<string, Node>>()

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async get(id: string): Promise<Node | undefined> {
    for (const known of this.#byBranch.values()) {
      const node = known.get(id)
      if (node) return node
    }
    const rows = await this.#queries.all<Node>(
      `SELECT c.id, c.number, c.branch_id, c.parent, c.merge_parent FROM commits AS o
       CROSS JOIN commits AS c INDEXED BY commits_by_branch ON c.branch_id = o.branch_id AND c.ordinal <= o.ordinal
       WHERE o.id = ? ORDER BY c.ordinal DESC LIMIT ${READ_AT_ONCE}`,
      [id],
    )
    const first = rows[0]
    if (!first) return undefined
    if (this.#byBranch.size >= MAX_BRANCHES) this.#byBranch.clear()
    this.#byBranch.set(first.branch_id, new Map(rows.map((row) => [row.id, row])))
    return first
  }
}
