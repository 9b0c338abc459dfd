import type { Transaction } from '../kernel/index.ts'
import { parsePath } from '../versioning/index.ts'
import { fill, publish } from './fill.ts'
import type { Folder } from './folders.ts'
import { FOLDERS } from './ledger.ts'
import { makeText } from './made.ts'
import type { Known } from './plan.ts'
import { type PushParts, PushWork } from './push-work.ts'
import { type ClaimedPush, type Counts, endPush } from './pushes.ts'
import { removeAll, withdraw } from './remove.ts'
import { LATEST_FILE, publishedAs, SUCCESS_FILE } from './settings.ts'

/** One push: the target comes to hold the files of a tree, in the folder itself or in the commit's own. */
export class Push {
  readonly #work: PushWork

  constructor(push: ClaimedPush, parts: PushParts) {
    this.#work = new PushWork(push, parts)
  }

  /** As they are now. */
  get counts(): Counts {
    return this.#work.counts
  }

  /** What of it moved in this try: its speed is that of these. */
  get moved(): Pick<Counts, 'bytesDone' | 'filesDone'> {
    const { bytesDone, bytesBefore, filesDone } = this.#work.counts
    return { bytesDone: bytesDone - bytesBefore, filesDone }
  }

  readonly renew = (tx: Transaction): Promise<void> => this.#work.renew(tx)

  /** Ends the push as a success. Throws PushFailed, StalePush, the signal's reason; StoreError and others where no file is to blame. */
  async run(): Promise<void> {
    const { push, parts } = this.#work
    const files = push.settings.layout === 'commit' ? await this.#runFolder() : await this.#runPlain()
    await this.#work.write(async (tx) => {
      await parts.ledger.end(tx, files)
      await endPush(tx, push, { state: 'success' })
    })
  }

  async #runPlain(): Promise<number> {
    const { push, parts } = this.#work
    const before = await this.#work.write((tx) => parts.ledger.begin(tx, push.root, publishedAs(push.settings)))
    const { files } = await fill(this.#work, { base: '', before })
    // Commits' folders of before, if there were any, are gone with all else that is not in the tree.
    if (!before) await this.#work.write((tx) => parts.ledger.folders.forgetAll(tx))
    return files
  }

  /** A folder of the commit's own; when all of it is there, `latest` names it, in one step for every reader. */
  async #runFolder(): Promise<number> {
    const { push, parts } = this.#work
    const { folders } = parts.ledger
    const how = publishedAs(push.settings)
    const before = await this.#work.write((tx) => parts.ledger.begin(tx, FOLDERS, how))
    const base = `${push.commit}/`
    const newest = await folders.newestWhole(push.commit)
    await this.#work.write((tx) => folders.begin(tx, push.commit, { seq: push.seq, state: `${push.root} ${how}` }))
    const twin = newest && `${newest}/`
    const { files, manifests } = await fill(this.#work, { base, before: undefined, twin })
    await this.#work.write((tx) => folders.end(tx, push.commit))
    if (await folders.mayName(push.seq)) {
      const above = manifests.map(({ entry, pieces }) => ({
        entry: { ...entry, path: parsePath(entry.path.slice(base.length)) },
        pieces,
      }))
      const latest = await makeText(LATEST_FILE, 'text/plain; charset=utf-8', `${push.commit}\n`)
      await publish(this.#work, [...above, latest])
      await this.#work.write((tx) => folders.name(tx, push.commit, push.seq))
    }
    await this.#removeOld()
    if (!before) await removeAll(this.#work, this.#strays())
    return files
  }

  /** Folders of more commits than are to be kept; never the one that was just filled, nor the one that `latest` names. */
  async #removeOld(): Promise<void> {
    const { push, parts } = this.#work
    const { keep } = push.settings
    if (keep === undefined) return
    let kept = 0
    for (const folder of await parts.ledger.folders.all()) {
      if (folder.isLatest || folder.commit === push.commit || kept < keep) {
        if (folder.whole) kept++
      } else {
        await this.#removeFolder(folder)
      }
    }
  }

  async #removeFolder({ commit }: Folder): Promise<void> {
    const { ledger } = this.#work.parts
    const base = `${commit}/`
    // Nobody should take for whole what is being deleted: neither those who read it, nor the next push.
    await this.#work.write((tx) => ledger.folders.doubt(tx, new Set([commit])))
    const mark = (await ledger.find([base + SUCCESS_FILE])).get(base + SUCCESS_FILE)
    if (mark) await withdraw(this.#work, mark)
    await removeAll(this.#work, ledger.all(base))
    await this.#work.write((tx) => ledger.folders.forget(tx, commit))
  }

  /** What is ours at the target and neither in a commit's folder nor asked for: from when it was filled in another way. */
  async *#strays(): AsyncGenerator<Known> {
    const { push, parts } = this.#work
    const folders = new Set((await parts.ledger.folders.all()).map(({ commit }) => commit))
    const wanted = new Set([LATEST_FILE, ...push.settings.manifests.map(({ path }) => path)])
    for await (const known of parts.ledger.all()) {
      const slash = known.path.indexOf('/')
      if (slash !== -1 && folders.has(known.path.slice(0, slash))) continue
      if (!wanted.has(known.path)) yield known
    }
  }
}
