import { rootOf } from '../cloud/index.ts'
import type { Difference, FileEntry, Path } from '../versioning/index.ts'
import { InvalidPath, parsePath } from '../versioning/index.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { InStep } from './ledger.ts'
import { LEDGER_BATCH } from './limits.ts'
import { each, type Made, make, makeText, withMade } from './made.ts'
import { manifestPieces } from './manifest.ts'
import {
  isMarker,
  isPublishedLast,
  type Known,
  planChanges,
  planWhole,
  type Step,
  stepFor,
  type Upload,
} from './plan.ts'
import { PushFailed, type PushWork } from './push-work.ts'
import { removeAll, withdraw } from './remove.ts'
import { sendAll } from './send.ts'
import { SUCCESS_FILE } from './settings.ts'

/** A folder at the target that is to hold the files of the push's tree. */
export interface Place {
  /** Below the target folder: nothing, or with a slash at its end. */
  readonly base: string
  /** What it holds already; undefined: whatever the ledger has. */
  readonly before: InStep | undefined
  /** Another folder of ours, in the same form as `base`, that may hold some of the files. */
  readonly twin?: string | undefined
}

/** What has been put there beside the files of the tree, and how many those are. */
export interface Filled {
  readonly files: number
  readonly manifests: readonly Made[]
}

/**
 * Makes the place hold the files of the tree, and what `egress` asks for beside them: data, manifests, then what is gone from the
 * tree is deleted, then `_SUCCESS`. So a reader by manifest never finds that a file it lists was deleted before the next manifest
 * was there; and who goes by `_SUCCESS` never finds a file that is not of the commit. A failure stops before the next of these
 * begins. All is planned from tree and ledger anew, so that a push that died goes on by planning again.
 */
export async function fill(work: PushWork, place: Place): Promise<Filled> {
  const { base, before, twin } = place
  const isSame = before?.root === work.push.root
  const manifests = isSame ? [] : await makeManifests(work, base)
  const mark = isSame || !work.push.settings.success ? undefined : await makeMark(work, base)
  const plan = planner(work, place)
  const todo = await measure(work, before, plan)
  const manifestSteps = await uploadsOf(work, manifests)
  const isChanged = todo.data + todo.last + todo.deletes + manifestSteps.length > 0
  const [known, marks] = mark ? await markUpload(work, mark, isChanged) : [undefined, []]
  count(work, [...manifestSteps, ...marks])
  const content = withMade(work.parts.versioning.content, mark ? [...manifests, mark] : manifests)
  const twinOf = twin === undefined ? {} : { twinOf: (path: string) => twin + path.slice(base.length) }

  if (isChanged && mark) await withdraw(work, known ?? unknownMark(mark))
  if (todo.data > 0) await sendAll(work, uploadsIn(plan(), isData), { content, ...twinOf })
  if (manifestSteps.length > 0) await sendAll(work, each(manifestSteps), { content })
  if (todo.deletes > 0) await removeAll(work, deletesIn(plan()))
  if (todo.last > 0) await sendAll(work, uploadsIn(plan(), isPublishedLast), { content })
  if (marks.length > 0) await sendAll(work, each(marks), { content })
  return { files: todo.files, manifests }
}

/** Sends what has been made, as far as the target does not have it, one after the other: in the order in which it may be seen. */
export async function publish(work: PushWork, files: readonly Made[]): Promise<void> {
  const steps = await uploadsOf(work, files)
  work.counts.filesTotal += files.length
  work.counts.filesSkipped += files.length - steps.length
  for (const { entry } of steps) work.counts.bytesTotal += entry.size
  const content = withMade(work.parts.versioning.content, files)
  for (const step of steps) await sendAll(work, each([step]), { content })
}

type Tap = (difference: Difference) => void
type Plan = (tap?: Tap) => AsyncIterable<Step>

/** Plans the tree's own files: what the push makes is in its hands alone. */
function planner(work: PushWork, { base, before }: Place): Plan {
  const { push, parts } = work
  const { trees } = parts.versioning
  const { success, manifests } = push.settings
  const reserved = new Set([...manifests.map(({ path }) => base + path), ...(success ? [base + SUCCESS_FILE] : [])])
  if (!before)
    return () => withoutReserved(planWhole(moved(trees.walk(push.root), base), parts.ledger.all(base)), reserved)
  return (tap) => {
    const differences = tapped(trees.diff(before.root, push.root), (difference) => {
      if (!reserved.has(difference.path)) tap?.(difference)
    })
    return withoutReserved(
      planChanges(differences, (paths) => parts.ledger.find(paths), LEDGER_BATCH),
      reserved,
    )
  }
}

interface Todo {
  readonly data: number
  /** `_SUCCESS` files of the tree. */
  readonly last: number
  readonly deletes: number
  /** In the tree. */
  readonly files: number
}

/** Counts what is to be done, so that progress has an end in sight. */
async function measure({ counts, signal }: PushWork, before: InStep | undefined, plan: Plan): Promise<Todo> {
  const todo = { data: 0, last: 0, deletes: 0 }
  let skipped = 0
  let filesNow = before?.files ?? 0
  const steps = plan((difference) => {
    if (difference.kind !== 'deleted' && !isMarker(difference.after)) filesNow++
    if (difference.kind !== 'added' && !isMarker(difference.before)) filesNow--
  })
  for await (const step of steps) {
    signal.throwIfAborted()
    if (step.kind === 'skip') skipped++
    else if (step.kind === 'delete') todo.deletes++
    else {
      todo[isPublishedLast(step.entry) ? 'last' : 'data']++
      counts.bytesTotal += step.entry.size
    }
  }
  const uploads = todo.data + todo.last
  const files = before ? filesNow : uploads + skipped
  counts.filesTotal += files
  counts.filesSkipped += files - uploads
  return { ...todo, files }
}

function count({ push, counts }: PushWork, steps: readonly Upload[]): void {
  const made = push.settings.manifests.length + (push.settings.success ? 1 : 0)
  counts.filesTotal += made
  counts.filesSkipped += made - steps.length
  for (const { entry } of steps) counts.bytesTotal += entry.size
}

async function makeManifests({ push, parts, signal }: PushWork, base: string): Promise<readonly Made[]> {
  const { versioning, target } = parts
  const made: Made[] = []
  for (const settings of push.settings.manifests) {
    const file = await versioning.trees.get(push.root, parsePath(settings.path))
    if (file) {
      throw new PushFailed(
        `commit ${push.commit} of ${push.repo} has a file ${settings.path}, and egress.manifest asks for a manifest of that name: give the manifest another path`,
        { path: settings.path },
      )
    }
    const prefix = rootOf(target) + base
    const files = () => untilAborted(versioning.trees.walk(push.root), signal)
    const pieces = () => manifestPieces(files(), settings, { bucket: target.bucket, prefix })
    made.push(await make(base + settings.path, 'application/json', pieces))
  }
  return made
}

/** The commit's own `_SUCCESS`, or an empty one. */
async function makeMark({ push, parts }: PushWork, base: string): Promise<Made> {
  const path = base + SUCCESS_FILE
  const { trees, content } = parts.versioning
  const own = await trees.get(push.root, parsePath(SUCCESS_FILE))
  if (!own) return makeText(path, undefined, '')
  return { entry: { ...own, path: parsePath(path) }, pieces: () => content.read(own.content) }
}

async function uploadsOf({ parts }: PushWork, files: readonly Made[]): Promise<Upload[]> {
  const known = await parts.ledger.find(files.map(({ entry }) => entry.path))
  return files.flatMap(({ entry }): Upload[] => {
    const step = stepFor(entry, known.get(entry.path))
    return step.kind === 'upload' ? [step] : []
  })
}

/**
 * `_SUCCESS` is put anew with every change, and taken away before the first: while it is there, all is there. Returns what the
 * ledger has of it, and what is to be sent.
 */
async function markUpload(
  { parts }: PushWork,
  { entry }: Made,
  isChanged: boolean,
): Promise<readonly [Known | undefined, readonly Upload[]]> {
  const known = (await parts.ledger.find([entry.path])).get(entry.path)
  const step = stepFor(entry, known && isChanged ? { ...known, sent: false, fingerprint: '' } : known)
  return [known, step.kind === 'upload' ? [step] : []]
}

/** Of a pipeline of this name that was deleted since: what it says of itself decides whether it goes, not that it is as empty. */
function unknownMark({ entry }: Made): Known {
  const { path, size } = entry
  return { path, size, fingerprint: fingerprintOf(entry), sent: false, owned: false, etag: undefined, md5: undefined }
}

async function* untilAborted<Item>(items: AsyncIterable<Item>, signal: AbortSignal): AsyncGenerator<Item> {
  for await (const item of items) {
    signal.throwIfAborted()
    yield item
  }
}

async function* moved(files: AsyncIterable<FileEntry>, base: string): AsyncGenerator<FileEntry> {
  for await (const file of files) yield base === '' ? file : { ...file, path: pathIn(base, file.path) }
}

function pathIn(base: string, path: string): Path {
  try {
    return parsePath(base + path)
  } catch (error) {
    if (!(error instanceof InvalidPath)) throw error
    throw new PushFailed(
      `${path} has too long a name for the folder of its commit (layout "commit"): ${error.message}`,
      { path },
      error,
    )
  }
}

async function* tapped(differences: AsyncIterable<Difference>, tap: Tap): AsyncGenerator<Difference> {
  for await (const difference of differences) {
    tap(difference)
    yield difference
  }
}

async function* withoutReserved(steps: AsyncIterable<Step>, reserved: ReadonlySet<string>): AsyncGenerator<Step> {
  for await (const step of steps) {
    if (!reserved.has(step.kind === 'delete' ? step.known.path : step.entry.path)) yield step
  }
}

function isData(entry: FileEntry): boolean {
  return !isPublishedLast(entry)
}

async function* uploadsIn(steps: AsyncIterable<Step>, wanted: (entry: FileEntry) => boolean): AsyncGenerator<Upload> {
  for await (const step of steps) if (step.kind === 'upload' && wanted(step.entry)) yield step
}

async function* deletesIn(steps: AsyncIterable<Step>): AsyncGenerator<Known> {
  for await (const step of steps) if (step.kind === 'delete') yield step.known
}
