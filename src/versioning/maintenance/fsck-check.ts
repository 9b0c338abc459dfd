import type { TouchedHolder } from '../fsck.ts'
import type { TreeHash } from '../model/index.ts'
import { ContentCheck } from './fsck-content.ts'
import { checkPacks } from './fsck-packs.ts'
import type { Mendable, MendedSums } from './fsck-repair.ts'
import { checkDatabases, checkRows, tellPages } from './fsck-rows.ts'
import type { FsckRun } from './fsck-run.ts'
import { TouchedBy } from './fsck-touched.ts'
import { TreeCheck } from './fsck-trees.ts'
import { visitVersions } from './fsck-versions.ts'
import { treeReferences } from './references.ts'

/** Commits read at a time. */
const ROWS_AT_ONCE = 500

interface Root {
  readonly root: TreeHash
  readonly holder: TouchedHolder
  /** Of a finished commit: what its row says. */
  readonly sums?: { readonly files: number; readonly bytes: number }
}

/**
 * The whole check, in the order of its phases. It works on a store that is written to: each statement sees one state, what refers is
 * read before what it refers to, and what seems damaged is looked at again, by way of what refers to it then, before it is told.
 * `mend` is handed what may be mended.
 */
export async function checkStore(
  run: FsckRun,
  damagedPages: readonly number[],
  mend: (contents: ContentCheck, found: Mendable) => Promise<void> = async () => {},
): Promise<void> {
  const contents = new ContentCheck(run)
  const trees = new TreeCheck(run, contents)
  try {
    run.begin('database')
    await tellPages(run, damagedPages)
    await checkDatabases(run)
    run.begin('rows')
    await run.guarded('the rows', () => checkRows(run))
    run.begin('packs')
    await run.guarded('the packs', () => checkPacks(run, contents))
    run.begin('trees')
    const sums: MendedSums[] = []
    await run.guarded('the trees', () => checkTrees(run, trees, sums))
    run.begin('versions')
    await run.guarded('the versions', () => checkVersions(run, contents))
    const commits = new Set<string>()
    if (trees.suspects.size > 0 || contents.suspects.size > 0) {
      run.begin('paths')
      await run.guarded('what the damage touches', () => tellTouched(run, trees, contents, commits))
    }
    if (contents.suspects.size + contents.headless.size + commits.size + sums.length > 0)
      await mend(contents, { commits: [...commits], sums })
  } finally {
    contents.close()
  }
}

async function checkTrees(run: FsckRun, trees: TreeCheck, wrong: MendedSums[]): Promise<void> {
  for await (const { root, holder, sums } of rootsOf(run)) {
    const measured = await trees.check(root)
    await run.pace()
    if (!sums || !measured || (measured.files === sums.files && measured.bytes === sums.bytes)) continue
    const { repo, branch, commit } = holder
    if (commit !== undefined) wrong.push({ commit, ...measured })
    run.found({
      kind: 'counts',
      severity: 'damage',
      message: `${repo}@${branch} commit ${commit} says ${sums.files} files of ${sums.bytes} bytes, its tree has ${measured.files} of ${measured.bytes}`,
      touched: { holders: [holder], holdersTotal: 1, paths: [], pathsTotal: 0 },
    })
  }
  await trees.flush()
}

async function checkVersions(run: FsckRun, contents: ContentCheck): Promise<void> {
  await visitVersions(
    run,
    async (claims) => {
      const faults = await contents.faultsOf(claims)
      for (const [index, reason] of faults.entries()) {
        const claim = claims[index]
        if (reason !== undefined && claim) contents.suspect(shaOf(claim), { reason, claim })
      }
    },
    true,
  )
}

/** The second look: by what refers to it now. */
async function tellTouched(
  run: FsckRun,
  trees: TreeCheck,
  contents: ContentCheck,
  commits: Set<string>,
): Promise<void> {
  await contents.reconsider()
  const touched = new TouchedBy(run, trees, contents)
  for await (const { root, holder } of rootsOf(run)) await touched.tree(root, holder)
  await visitVersions(
    run,
    async (claims) => {
      for (const claim of claims) {
        const { repo, branch, path, version } = claim.holder
        await touched.row(shaOf(claim), { repo, branch }, { repo, path, ...(version === undefined ? {} : { version }) })
      }
    },
    false,
  )
  for (const [hash, touches] of touched.nodes) {
    const reason = trees.suspects.get(hash)
    if (reason === undefined) continue
    const [oldest] = touches.touched.holders
    if (oldest?.commit !== undefined) commits.add(oldest.commit)
    const message = `node ${hash} of a tree: ${reason}`
    run.found({ kind: 'node', severity: 'damage', message, sha256: hash, touched: touches.touched })
  }
  for (const [sha256, { reason, claim }] of contents.suspects) {
    const touches = touched.contents.get(sha256)
    if (touches) {
      const message = `content ${sha256}: ${reason}`
      run.found({ kind: 'content', severity: 'damage', message, sha256, touched: touches.touched })
    } else if (!claim) {
      // As a piece of a larger content it is told with that; else nobody needs it, and only room is lost.
      const message = `chunk ${sha256}: ${reason}`
      run.found({ kind: 'chunk', severity: 'note', message, sha256 })
    }
  }
}

function shaOf({ content }: { content: { kind: string; sha256?: Buffer } }): string {
  return content.sha256?.toString('hex') ?? ''
}

/** All trees that commits and branches have, oldest commit first. */
async function* rootsOf(run: FsckRun): AsyncGenerator<Root> {
  let after = 0
  for (;;) {
    const rows = await run.db.all<{
      number: number
      id: string
      repo: string
      branch: string
      root: string
      state: string
      files: number
      bytes: number
    }>(
      'SELECT number, id, repo, branch, root, state, files, bytes FROM commits WHERE number > ? ORDER BY number LIMIT ?',
      [after, ROWS_AT_ONCE],
    )
    for (const { id, repo, branch, root, state, files, bytes } of rows) {
      yield {
        root: root as TreeHash,
        holder: { repo, branch, commit: id },
        ...(state === 'finished' ? { sums: { files, bytes } } : {}),
      }
    }
    if (rows.length < ROWS_AT_ONCE) break
    after = rows.at(-1)?.number ?? after
  }
  for await (const { root, holder } of treeReferences(run.db, run.sources)) {
    if (holder.kind === 'branch' || holder.kind === 'transaction') yield { root, holder }
    // What a floor above calls it, and its id there.
    else if (holder.kind === 'other') yield { root, holder: { repo: '', branch: holder.what, commit: holder.id } }
  }
}
