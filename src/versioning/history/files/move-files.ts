import { InvalidInput } from '../../../kernel/index.ts'
import {
  type BranchAddress,
  BranchMoved,
  type CommitId,
  type CommitRef,
  FilesExist,
  InvalidPath,
  MergeConflict,
  PathNotFound,
  scratchArea,
  type TreeHash,
} from '../../model/index.ts'
import type { Moves, Placed, PlaceInput } from '../../moves.ts'
import type { OnWork } from '../../work.ts'
import { controlReason } from '../branches.ts'
import { type CountedTree, type Landing, landTree, liveTree, readLandState } from '../graph/land-tree.ts'
import type { Views } from '../views.ts'
import type { Carried, PlaceRequest } from './place-slice.ts'
import type { StoredSharing } from './sharing.ts'
import type { VersionTags } from './tags.ts'

/** Files placed by one request to the tree worker: others get their turn in between. */
const FILES_PER_SLICE = 5_000
/** Tags and ACLs carried by one transaction. */
const ROWS_PER_WRITE = 1_000
/** Paths named in a refusal. */
const MAX_NAMED = 20
/** A move starts over when what it moves is written to meanwhile; more often than that somebody writes there all the time. */
const MAX_TRIES = 5

interface MoveParts {
  readonly landing: Landing
  readonly views: Views
  readonly tags: VersionTags
  readonly sharing: StoredSharing
}

/** What `Moves` promises: the tree is made slice by slice in the worker, and landed as one commit. */
export class BranchMoves implements Moves {
  readonly #parts: MoveParts

  constructor(parts: MoveParts) {
    this.#parts = parts
  }

  async move(at: BranchAddress, input: PlaceInput): Promise<Placed> {
    checkPaths(input)
    if (input.to === input.from) {
      throw new InvalidInput(`${input.from || 'everything'} is to be moved to where it is: choose another place`, {
        from: input.from,
        to: input.to,
      })
    }
    if (input.to.startsWith(input.from) && (input.from.endsWith('/') || input.from === '')) {
      throw new InvalidInput(
        `${input.from || 'everything'} can't be moved into itself, to ${input.to}: choose another place`,
        {
          from: input.from,
          to: input.to,
        },
      )
    }
    const message = input.message ?? `move ${input.from} to ${input.to}`
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const placed = await this.#leased(
        (base, commit) => {
          const source = base.root
          return this.#place(
            at,
            base,
            { source, commit, modifiedMs: undefined, takeOut: true, access: true },
            { ...input, message },
          )
        },
        at,
        input.onWork,
      )
      if (placed) return placed
    }
    throw new BranchMoved(
      `${input.from} was written to whenever it was to be moved: try again when less is written there`,
      {
        ...at,
        path: input.from,
      },
    )
  }

  async copy(at: BranchAddress, source: CommitRef, input: PlaceInput): Promise<Placed> {
    checkPaths(input)
    const { views, landing } = this.#parts
    const message = input.message ?? `copy ${source.repo}@${source.commit}:${input.from} to ${input.to}`
    const modifiedMs = landing.context.clock.now()
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const placed = await this.#leased(
        async (base, commit) => {
          const root = await views.rootOf({ kind: 'commit', ...source }, { toBuildOn: true })
          return this.#place(
            at,
            base,
            { source: root, commit, modifiedMs, takeOut: false, access: false },
            { ...input, message },
          )
        },
        at,
        input.onWork,
      )
      if (placed) return placed
    }
    throw new BranchMoved(
      `${input.to} was written to whenever it was to be copied to: try again when less is written there`,
      {
        ...at,
        path: input.to,
      },
    )
  }

  /** From before what the branch holds is read, until the commit refers to what was made of it. */
  async #leased<T>(
    work: (base: CountedTree, commit: CommitId) => Promise<T>,
    at: BranchAddress,
    onWork: OnWork | undefined,
  ): Promise<T> {
    const { context, waitForCommit } = this.#parts.landing
    const end = context.leases.begin()
    try {
      for (;;) {
        const state = await readLandState(context.db, at, { by: 'write' })
        if (!state.landing) return await work(await liveTree(context, state, onWork), context.newCommitId())
        await waitForCommit(state.landing as CommitId)
      }
    } finally {
      end()
    }
  }

  /** Undefined if somebody wrote to the same files meanwhile. */
  async #place(
    at: BranchAddress,
    base: CountedTree,
    how: { source: TreeHash; commit: CommitId; modifiedMs: number | undefined; takeOut: boolean; access: boolean },
    input: PlaceInput & { readonly message: string },
  ): Promise<Placed | undefined> {
    const { landing } = this.#parts
    const { commit } = how
    try {
      const beside = this.#parts.tags.some || (how.access && this.#parts.sharing.some)
      const request = requestOf(base, { ...how, beside }, input)
      // Taken out first: a folder that moves up may hold files that come to stand where it was.
      const out = how.takeOut ? await this.#slices({ ...request, to: undefined }) : nothing(base.root)
      const put = await this.#slices(
        { ...request, root: out.root, base: out.root, to: input.to },
        async (carried, placed) => {
          if (carried.length > 0) await this.#carry(commit, carried, how.access)
          input.onWork?.({ step: 'placing', done: placed })
        },
      )
      refuse(input, put)
      const tree = {
        root: put.root,
        files: base.files + out.files + put.files,
        bytes: base.bytes + out.bytes + put.bytes,
      }
      const { message, author } = input
      const landed = await landTree(landing, at, {
        base: base.root,
        tree,
        commit,
        message,
        ...(author === undefined ? {} : { author }),
        by: 'write',
        onWork: input.onWork,
      })
      if (landed.kind !== 'landed') throw new Error('a commit that was asked for was not made')
      input.onWork?.({ step: 'finishing', done: put.placed })
      return { commit: await landing.waitForCommit(commit), files: put.placed, sizeBytes: put.placedBytes }
    } catch (error) {
      await this.#forget(commit)
      if (error instanceof MergeConflict) return undefined
      throw error
    }
  }

  async #slices(request: PlaceRequest, onSlice?: (carried: Carried, placed: number) => Promise<void>): Promise<Slices> {
    const sum = nothing(request.root)
    let start: Uint8Array | undefined
    do {
      const mode = sum.existingTotal > 0 || sum.tooLong.length > 0 ? 'dry' : request.mode
      const slice = await this.#parts.landing.context.treeWork.place({
        ...request,
        root: sum.root,
        start,
        mode,
        placed: sum.placed,
        maxNamed: MAX_NAMED - sum.existing.length,
      })
      sum.root = slice.root
      sum.placed += slice.placed
      sum.placedBytes += slice.placedBytes
      sum.files += slice.files
      sum.bytes += slice.bytes
      sum.existing = [...sum.existing, ...slice.existing]
      sum.existingTotal += slice.existingTotal
      sum.tooLong = [...sum.tooLong, ...slice.tooLong].slice(0, MAX_NAMED)
      if (onSlice) await onSlice(slice.carried, sum.placed)
      start = slice.next
    } while (start)
    return sum
  }

  /** Written before the commit is there: whoever finds it finds them too. */
  async #carry(commit: CommitId, carried: Carried, access: boolean): Promise<void> {
    const { landing, sharing, tags } = this.#parts
    for (let from = 0; from < carried.length; from += ROWS_PER_WRITE) {
      await landing.context.db.write(async (tx) => {
        const some = carried.slice(from, from + ROWS_PER_WRITE)
        await tags.carryAll(tx, commit, some)
        if (access) await sharing.carryAll(tx, commit, some)
      })
    }
  }

  async #forget(commit: CommitId): Promise<void> {
    await this.#parts.landing.context.db.write(async (tx) => {
      if (await tx.get('SELECT 1 FROM commits WHERE id = ?', [commit])) return
      for (const table of ['version_tags', 'version_access']) {
        await tx.run(`DELETE FROM ${table} WHERE commit_id = ?`, [commit])
      }
    })
  }
}

interface Slices {
  root: TreeHash
  placed: number
  placedBytes: number
  files: number
  bytes: number
  existing: readonly string[]
  existingTotal: number
  tooLong: readonly string[]
}

function nothing(root: TreeHash): Slices {
  return { root, placed: 0, placedBytes: 0, files: 0, bytes: 0, existing: [], existingTotal: 0, tooLong: [] }
}

function requestOf(
  base: CountedTree,
  {
    source,
    commit,
    modifiedMs,
    beside,
  }: { source: TreeHash; commit: CommitId; modifiedMs: number | undefined; beside: boolean },
  { from, force = false }: PlaceInput,
): PlaceRequest {
  return {
    kind: 'place',
    source,
    from,
    to: undefined,
    root: base.root,
    base: base.root,
    start: undefined,
    limit: FILES_PER_SLICE,
    mode: 'write',
    force,
    commit,
    placed: 0,
    modifiedMs,
    beside,
    maxNamed: MAX_NAMED,
  }
}

/** What can be said without looking at any file. */
function checkPaths({ from, to }: PlaceInput): void {
  const isFolder = (path: string) => path === '' || path.endsWith('/')
  if (isFolder(from) !== isFolder(to)) {
    throw new InvalidInput(
      `${JSON.stringify(from)} and ${JSON.stringify(to)} are a folder and a file: a folder's path ends in /, and both have to be of one kind`,
      { from, to },
    )
  }
  for (const path of [from, to]) {
    if (!path.isWellFormed() || path.includes('\0')) {
      throw new InvalidPath('a path must be valid UTF-8, without NUL characters', { path })
    }
    const refused = controlReason(path)
    if (refused) throw refused
    if (scratchArea(isFolder(path) ? `${path}x` : path) === undefined) continue
    throw new InvalidInput(
      "files in scratch folders (_temporary/ and the like) are in no commit and can't be moved or copied this way: copy and delete them one by one",
      { path },
    )
  }
}

function refuse({ from, to }: PlaceInput, { placed, existing, existingTotal, tooLong }: Slices): void {
  if (placed === 0) throw new PathNotFound(from)
  if (tooLong.length > 0) {
    throw new InvalidPath(
      `below ${to} the path of ${tooLong[0]} would be longer than 1,024 bytes; nothing was changed`,
      {
        paths: tooLong,
        tooLong: true,
      },
    )
  }
  if (existingTotal === 0) return
  const more = existingTotal > existing.length ? ` and ${existingTotal - existing.length} more` : ''
  throw new FilesExist(
    `${existing.slice(0, MAX_NAMED).join(', ')}${more} would be replaced; nothing was changed: force it, or choose another place`,
    { paths: existing, total: existingTotal },
  )
}
