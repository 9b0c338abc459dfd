import { type Database, faultPoint } from '../../kernel/index.ts'
import type { Lease, Leases, TreeWork } from '../history/index.ts'
import type { TreeHash } from '../model/index.ts'
import type { Purged } from './purge-rows.ts'
import { pages, type ReferenceSource } from './references.ts'

/** Entries taken out by one request: other trees are written in between. */
const ENTRIES_AT_ONCE = 20_000
const COMMITS_AT_ONCE = 500
/** Trees whose new form is remembered: neighbours in history mostly share theirs. */
const MAX_REMEMBERED = 1_000

export interface PurgeTreesPlace {
  readonly db: Database
  readonly treeWork: TreeWork
  readonly leases: Leases
  readonly sources: readonly ReferenceSource[]
}

interface Rewritten {
  readonly root: TreeHash
  readonly files: number
  readonly bytes: number
}

/** Takes what is purged out of every tree that a commit or a branch of the repo has. Commits keep their ids. */
export class PurgeTrees {
  readonly #place: PurgeTreesPlace
  readonly #purged: Purged
  readonly #signal: AbortSignal
  readonly #hold: Lease
  readonly #known = new Map<TreeHash, Rewritten>()
  /** Commits that had it. */
  readonly commits = new Set<string>()

  /** `hold`: keeps the trees that are made, also those that no row came to refer to. */
  constructor(place: PurgeTreesPlace, purged: Purged, signal: AbortSignal, hold: Lease) {
    this.#place = place
    this.#purged = purged
    this.#signal = signal
    this.#hold = hold
  }

  /** Looks at all of them once; how many were rewritten. None: there was none that had it. */
  async pass(): Promise<number> {
    const { db } = this.#place
    let rewritten = 0
    const commits = pages<{ number: number; id: string; root: TreeHash }>((last) =>
      db.all(
        `SELECT number, id, root FROM commits WHERE repo = ? AND number > ? ORDER BY number LIMIT ${COMMITS_AT_ONCE}`,
        [this.#purged.repo, last?.number ?? 0],
      ),
    )
    for await (const { id, root } of commits) {
      if (!(await this.#rewrite(root, 'commits', id))) continue
      this.commits.add(id)
      rewritten++
    }
    const branches = await db.all<{ id: number; root: TreeHash }>('SELECT id, root FROM branches WHERE repo = ?', [
      this.#purged.repo,
    ])
    for (const { id, root } of branches) if (await this.#rewrite(root, 'branches', id)) rewritten++
    return rewritten
  }

  async #rewrite(root: TreeHash, table: 'commits' | 'branches', id: string | number): Promise<boolean> {
    this.#signal.throwIfAborted()
    const { db, leases, sources } = this.#place
    // Until a row refers to it.
    const end = leases.begin()
    try {
      const without = await this.#without(root)
      this.#hold.pin(without.root)
      if (without.root === root) return false
      faultPoint('purge.tree')
      await db.write(async (tx) => {
        if (table === 'branches') {
          await tx.run('UPDATE branches SET root = ? WHERE id = ? AND root = ?', [without.root, id, root])
          return
        }
        const counts = [without.files, without.bytes]
        await tx.run('UPDATE commits SET root = ?, files = files + ?, bytes = bytes + ? WHERE id = ? AND root = ?', [
          without.root,
          ...counts,
          id,
          root,
        ])
        for (const sql of sources.flatMap(({ rewritten = [] }) => rewritten)) await tx.run(sql, [root, without.root])
      })
      return true
    } finally {
      end()
    }
  }

  async #without(root: TreeHash): Promise<Rewritten> {
    const known = this.#known.get(root)
    if (known) return known
    const path = Buffer.from(this.#purged.path)
    let result: Rewritten = { root, files: 0, bytes: 0 }
    for (let more = true; more; ) {
      this.#signal.throwIfAborted()
      const step = await this.#place.treeWork.without({
        root: result.root,
        path,
        prefix: this.#purged.prefix,
        limit: ENTRIES_AT_ONCE,
      })
      result = { root: step.root, files: result.files + step.files, bytes: result.bytes + step.bytes }
      more = step.more
    }
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear()
    this.#known.set(root, result)
    return result
  }
}
