import { createHash } from 'node:crypto'
import type { ListPage, ObjectStore } from '../cloud/index.ts'
import type { Transaction } from '../kernel/index.ts'
import type { Path, TreeHash, Versioning } from '../versioning/index.ts'
import { again, type Patience } from './again.ts'
import { EgressRefused } from './errors.ts'
import { fingerprintOf, sha256Of } from './fingerprint.ts'
import type { Folder } from './folders.ts'
import type { Ledger } from './ledger.ts'
import { MAX_FOREIGN_NAMED, READ_BACK_FILES } from './limits.ts'
import { compareUtf8, type Known } from './plan.ts'

/** What a comparison of a target with the ledger says, one after the other; `verified` is the last. */
export type VerifyEvent =
  /** Ours, and not there, or not as we have put it there. `why` is for people. */
  | { readonly kind: 'drift'; readonly path: string; readonly drift: 'missing' | 'changed'; readonly why: string }
  /** In the folder, and not ours: no drift. The first MAX_FOREIGN_NAMED are named. */
  | { readonly kind: 'foreign'; readonly path: string; readonly size: number }
  | VerifyResult

/** How a comparison has ended. */
export interface VerifyResult {
  readonly kind: 'verified'
  /** What the ledger says is there. */
  readonly files: number
  readonly bytes: number
  readonly missing: number
  readonly changed: number
  /** On their way, or of a push that failed: not compared. */
  readonly unsent: number
  readonly foreign: number
  /** Every object was read, but for `unread` ones whose content is not known here any more. */
  readonly deep: boolean
  readonly unread: number
  /** The push that sends again what has drifted. */
  readonly repair?: string
}

export interface VerifyParts extends Patience {
  readonly store: ObjectStore
  readonly ledger: Ledger
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly deep: boolean
}

type Listed = ListPage['objects'][number]

/** A path that the ledger has, the target has, or both. */
interface Pair {
  readonly path: string
  readonly known?: Known & { readonly ours: boolean }
  readonly object?: Listed
}

/**
 * Compares what the ledger says was put into a folder with what the target lists there: size, and MD5 where both sides know it,
 * else the store's own ETag. `deep` reads every object back and compares its bytes with the commit's. In constant memory.
 */
export async function* verifyTarget(parts: VerifyParts): AsyncGenerator<VerifyEvent> {
  const count = { files: 0, bytes: 0, missing: 0, changed: 0, unsent: 0, foreign: 0, unread: 0 }
  const trees = parts.deep ? await treesOf(parts.ledger) : undefined
  const pairs = merged(parts.ledger.everything(), listed(parts))
  const compared = inOrder(pairs, parts.deep ? READ_BACK_FILES : 1, async (pair) => ({
    pair,
    verdict: await compare(pair, parts, trees),
  }))
  for await (const { pair, verdict } of compared) {
    const { path, known, object } = pair
    parts.signal.throwIfAborted()
    if (verdict === 'foreign') {
      if (object && count.foreign++ < MAX_FOREIGN_NAMED) yield { kind: 'foreign', path, size: object.size }
      continue
    }
    if (verdict === 'unsent') {
      count.unsent++
      continue
    }
    count.files++
    count.bytes += known?.size ?? 0
    if (verdict === 'unread') count.unread++
    if (typeof verdict === 'string') continue
    count[verdict.drift]++
    yield { kind: 'drift', path, ...verdict }
  }
  yield { kind: 'verified', ...count, deep: parts.deep }
}

type Drift = { readonly drift: 'missing' | 'changed'; readonly why: string }

async function compare(
  { known, object }: Pair,
  parts: VerifyParts,
  trees: Trees | undefined,
): Promise<'foreign' | 'unsent' | 'right' | 'unread' | Drift> {
  if (!known?.ours) return 'foreign'
  if (!known.sent && !known.doubted) return 'unsent'
  if (!object) return { drift: 'missing', why: 'it is not there' }
  if (known.doubted) return { drift: 'changed', why: 'it was found so before, and was not sent again since' }
  if (object.size !== known.size) {
    return { drift: 'changed', why: `it has ${object.size} bytes instead of ${known.size}` }
  }
  if (known.md5 !== undefined && object.md5 !== undefined && object.md5 !== known.md5) {
    return { drift: 'changed', why: `its MD5 is ${object.md5} instead of ${known.md5}` }
  }
  if (trees) return readBack(known, parts, trees)
  const isSameByMd5 = known.md5 !== undefined && object.md5 !== undefined
  if (isSameByMd5 || known.etag === undefined || known.etag === object.etag) return 'right'
  return { drift: 'changed', why: 'it was written again since (its ETag is another); --deep reads it' }
}

/** Where the content of what was pushed is known from. */
interface Trees {
  readonly roots: readonly TreeHash[]
  readonly folders: ReadonlyMap<string, TreeHash>
}

async function treesOf(ledger: Ledger): Promise<Trees> {
  const folders = await ledger.folders.all()
  return {
    roots: await ledger.roots(),
    folders: new Map(folders.map((folder) => [folder.commit, rootOf(folder)])),
  }
}

/** The state of a folder begins with its tree. */
function rootOf({ state }: Folder): TreeHash {
  return state.split(' ', 1)[0] as TreeHash
}

async function readBack(known: Known, parts: VerifyParts, trees: Trees): Promise<'right' | 'unread' | Drift> {
  const { store } = parts
  const expected = await contentOf(known, parts, trees)
  if (!expected) return 'unread'
  const found = await again(parts, async () => {
    const [sha256, md5] = [createHash('sha256'), createHash('md5')]
    let bytes = 0
    for await (const piece of (await store.get(known.path)) as AsyncIterable<Buffer>) {
      parts.signal.throwIfAborted()
      bytes += piece.length
      // Whatever the listing said of it: it may have no end.
      if (bytes > known.size) break
      sha256.update(piece)
      md5.update(piece)
    }
    return { sha256: sha256.digest('base64url'), md5: md5.digest('hex') }
  })
  const isRight = 'sha256' in expected ? found.sha256 === expected.sha256 : found.md5 === expected.md5
  return isRight ? 'right' : { drift: 'changed', why: 'its bytes are not those that were put there' }
}

/** By the commit's content where it is known; what the push has made itself is known by its MD5. */
async function contentOf(
  known: Known,
  { versioning }: VerifyParts,
  { roots, folders }: Trees,
): Promise<{ sha256: string } | { md5: string } | undefined> {
  const slash = known.path.indexOf('/')
  const folder = slash === -1 ? undefined : folders.get(known.path.slice(0, slash))
  const places = folder
    ? [{ root: folder, path: known.path.slice(slash + 1) }]
    : roots.map((root) => ({ root, path: known.path }))
  for (const { root, path } of places) {
    const entry = await versioning.trees.get(root, path as Path)
    if (!entry || fingerprintOf(entry) !== known.fingerprint) continue
    const sha256 = sha256Of(entry)
    if (sha256 !== undefined) return { sha256 }
    const hash = createHash('sha256')
    for await (const piece of versioning.content.lend(entry.content)) hash.update(piece)
    return { sha256: hash.digest('base64url') }
  }
  return known.md5 === undefined ? undefined : { md5: known.md5 }
}

async function* listed({ store, ...patience }: VerifyParts): AsyncGenerator<Listed> {
  let before = ''
  for (let after: string | undefined; ; ) {
    const page = await again(patience, () => store.list(after === undefined ? {} : { after }))
    for (const object of page.objects) {
      if (before !== '' && compareUtf8(before, object.key) >= 0) {
        throw new EgressRefused(`${store.url} is not listed in the order of its names: it can't be compared`)
      }
      before = object.key
      yield object
    }
    if (page.next === undefined) return
    after = page.next
  }
}

/** Both are in UTF-8 byte order. */
async function* merged(
  ledger: AsyncIterable<Known & { readonly ours: boolean }>,
  objects: AsyncIterable<Listed>,
): AsyncGenerator<Pair> {
  const [rows, keys] = [ledger[Symbol.asyncIterator](), objects[Symbol.asyncIterator]()]
  let row = await rows.next()
  let object = await keys.next()
  while (!row.done || !object.done) {
    const order = row.done ? 1 : object.done ? -1 : compareUtf8(row.value.path, object.value.key)
    const path = !row.done && order <= 0 ? row.value.path : !object.done ? object.value.key : ''
    yield {
      path,
      ...(!row.done && order <= 0 ? { known: row.value } : {}),
      ...(!object.done && order >= 0 ? { object: object.value } : {}),
    }
    if (order <= 0) row = await rows.next()
    if (order >= 0) object = await keys.next()
  }
}

/** A few at once, answered in their order. */
async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = []
  for await (const item of items) {
    const result = work(item)
    // Whoever waits for it is told; if nobody does any more, nobody needs to be.
    result.catch(() => undefined)
    running.push(result)
    if (running.length >= atOnce) yield (await running.shift()) as Result
  }
  for (const result of running) yield await result
}

/** Keeps what a comparison has found with the push that it was asked for. */
export async function keepResult(
  tx: Transaction,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
  result: VerifyResult,
): Promise<void> {
  await tx.run('UPDATE egress_push SET verified_ms = ?, drift = ? WHERE id = ?', [
    nowMs,
    result.missing + result.changed,
    id,
  ])
}
