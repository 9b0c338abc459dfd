import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { faultPoint } from '../../kernel/index.ts'
import { type HistoryContext, type Landing, landTree, liveTree, readLandState } from '../history/index.ts'
import type { ImportEvent, ImportOptions, ImportResult, Imports, ReceivedArchive } from '../imports.ts'
import {
  type BranchAddress,
  type CommitId,
  ImportLimit,
  isTransactionName,
  ReadOnly,
  type TreeHash,
} from '../model/index.ts'
import { checkPrefix } from './paths.ts'
import { ArchiveReceiver, type Received } from './receive.ts'
import { type BuiltTree, ImportWork } from './work.ts'

/** Each has a thread, some 150 MiB, and files of its own. */
const MAX_IMPORTS = 2

/** Where imports are made. */
export interface ImportPlace {
  readonly nodesFile: string
  readonly salt: Buffer
  /** For the temporary files of all imports; emptied when the store is opened. */
  readonly folder: string
  readonly onFatal: (error: Error) => void
}

interface ImportParts extends ImportPlace {
  readonly context: HistoryContext
  readonly landing: Landing
  /** Seals what was acknowledged, and waits until it is finished. */
  readonly settle: (at: BranchAddress) => Promise<void>
}

/** The tree that an import begins with. */
interface Base {
  readonly root: TreeHash
  readonly files: number
  readonly bytes: number
}

/** One import, from its first byte to its end. */
interface Running {
  readonly at: BranchAddress
  readonly commit: CommitId
  readonly work: ImportWork
  readonly options: ImportOptions
  readonly end: () => Promise<void>
}

/** Imports of archives into branches of this store. */
export class StoredImports implements Imports {
  readonly #parts: ImportParts
  readonly #running = new Set<Running>()
  #closed = false

  constructor(parts: ImportParts) {
    this.#parts = parts
  }

  /** Removes what an import that was interrupted has left behind. */
  async start(): Promise<void> {
    await rm(this.#parts.folder, { recursive: true, force: true })
  }

  async receive(
    at: BranchAddress,
    archive: AsyncIterable<Buffer>,
    options: ImportOptions = {},
  ): Promise<ReceivedArchive> {
    await this.#check(at, options)
    const running = await this.#begin(at, options)
    try {
      const { context } = this.#parts
      const received = await new ArchiveReceiver(context, running.work, running.commit, options).receive(archive)
      options.verify?.()
      options.signal?.throwIfAborted()
      const { files, bytes } = received
      return { commit: running.commit, files, bytes, land: () => this.#land(running, received) }
    } catch (error) {
      await running.end()
      throw error
    }
  }

  /** Gives up what is under way: none of it has been acknowledged. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#running].map((running) => running.end()))
  }

  /** Before a long body is read for nothing. */
  async #check(at: BranchAddress, options: ImportOptions): Promise<void> {
    const refused = checkPrefix(options.prefix ?? '')
    if (refused) throw refused
    if (isTransactionName(at.branch)) {
      throw new ReadOnly(
        `an archive is imported into a branch, not into the transaction ${at.branch}: write its files there`,
        { ...at },
      )
    }
    await readLandState(this.#parts.context.db, at, { by: 'write' })
    if (this.#closed || this.#running.size >= MAX_IMPORTS) {
      throw new ImportLimit(`${MAX_IMPORTS} imports are under way: try again when one of them has ended`)
    }
  }

  async #begin(at: BranchAddress, options: ImportOptions): Promise<Running> {
    const { context, nodesFile, salt, onFatal } = this.#parts
    const commit = context.newCommitId()
    const folder = join(this.#parts.folder, commit)
    // Small files stand in it as they are: for nobody else to read, as the databases.
    await mkdir(folder, { recursive: true, mode: 0o700 })
    // From before the first content is published until the tree that refers to it is a commit's.
    const endLease = context.leases.begin()
    const work = new ImportWork({ nodesFile, salt, folder }, onFatal)
    const end = async () => {
      if (!this.#running.delete(running)) return
      try {
        await work.close()
        await rm(folder, { recursive: true, force: true })
      } finally {
        endLease()
      }
    }
    const running = { at, commit, work, options, end }
    this.#running.add(running)
    return running
  }

  async *#land(running: Running, received: Received): AsyncGenerator<ImportEvent> {
    try {
      const base = await this.#base(running.at)
      const building = running.work.build(base.root)
      for (;;) {
        const step = await building.next()
        if (step.done) {
          yield { kind: 'imported', ...(await this.#commit(running, received, base, step.value)) }
          return
        }
        yield { kind: 'placing', entries: step.value, files: received.files }
        running.options.signal?.throwIfAborted()
      }
    } finally {
      await running.end()
    }
  }

  /** What the branch shows now, with a commit that is held open: the archive is written over it, and what comes later is merged with. */
  async #base(at: BranchAddress): Promise<Base> {
    const { context, settle } = this.#parts
    await settle(at)
    return liveTree(context, await readLandState(context.db, at, { by: 'write' }))
  }

  async #commit(running: Running, received: Received, base: Base, built: BuiltTree): Promise<ImportResult> {
    const { at, options, commit } = running
    const { landing } = this.#parts
    faultPoint('import.tree')
    const landed = await landTree(landing, at, {
      base: base.root,
      tree: { root: built.root, files: base.files + built.files, bytes: base.bytes + built.bytes },
      commit,
      message: options.message ?? `import ${received.files} files`,
      ...(options.author === undefined ? {} : { author: options.author }),
      by: 'write',
      onConflict: 'these files were written while the archive came in; import it again',
    })
    if (landed.kind !== 'landed') throw new Error('a commit that was asked for was not made')
    const { added, changed, unchanged } = built
    return { ...received, commit: await landing.waitForCommit(landed.commit), added, changed, unchanged }
  }
}
