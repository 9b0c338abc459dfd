import { type Command, InvalidArgumentError } from 'commander'
import type {
  CommitJson,
  MergeConflictJson,
  MergeCountsJson,
  MergeJson,
  RepoJson,
  RevertJson,
} from '../../api/contract.ts'
import { baseOf, isCommitId, parseBranch, parseRevision, revisionIn } from '../address.ts'
import { type ApiClient, apiPath } from '../client.ts'
import { ApiError, CliError, UsageError } from '../errors.ts'
import { humanSize, printable, table } from '../format.ts'
import { type JsonOption, print, printJson, type Session, withJson } from '../session.ts'
import { work } from '../work.ts'

type Side = 'ours' | 'theirs'

interface SideOptions {
  readonly ours?: true
  readonly theirs?: true
  readonly take?: Readonly<Record<string, Side>>
}

interface MergeOptions extends JsonOption, SideOptions {
  readonly message?: string
  readonly dryRun?: true
  readonly allowUnrelated?: true
}

interface RevertOptions extends JsonOption, SideOptions {
  readonly message?: string
  readonly branch?: string
  readonly mainline?: number
}

export function addMergeCommands(program: Command, session: Session): void {
  withSides(withJson(program.command('merge <repo@branch> <from>')))
    .summary('merge a branch or commit into a branch')
    .description(
      'Merge a branch, tag or commit of the same repo into a branch, as one commit with two parents. What both branches have gathered is made ' +
        'a commit first. Files that both sides changed are named, and nothing is changed, unless a side is chosen for them: --ours is ' +
        'the branch, --theirs what is merged into it.',
    )
    .option('-m, --message <text>', 'what the commit is about')
    .option('--dry-run', 'only say what would be done')
    .option('--allow-unrelated', 'also if they have no common ancestor')
    .action((address: string, from: string, options: MergeOptions) => mergeAction(session, address, from, options))
  withSides(withJson(program.command('revert <repo@revision>')))
    .summary('take back what one commit changed')
    .description(
      'Take back what one commit changed, by a new commit on its branch, and leave what came after it. `revert images@master` takes back the ' +
        "branch's last commit.",
    )
    .option('--branch <branch>', 'on this branch instead')
    .option(
      '--mainline <parent>',
      'of a merge: go back to its parent 1 (the branch) or 2 (what was merged)',
      parseMainline,
    )
    .option('-m, --message <text>', 'what the new commit is about')
    .action((address: string, options: RevertOptions) => revertAction(session, address, options))
}

function withSides(command: Command): Command {
  return command
    .option('--ours', 'where both sides changed a file, keep what the branch has')
    .option('--theirs', 'where both sides changed a file, take the other one')
    .option(
      '--take <side:path>',
      'the same for one file, or for a folder: ours:path, theirs:folder/; may be repeated',
      takeOne,
    )
}

function takeOne(value: string, before: Readonly<Record<string, Side>> = {}): Readonly<Record<string, Side>> {
  const [, side, path] = /^(ours|theirs):(.+)$/s.exec(value) ?? []
  if (side === undefined || path === undefined) throw new InvalidArgumentError('Write ours:PATH or theirs:PATH.')
  return Object.fromEntries([...Object.entries(before), [path, side as Side]])
}

function parseMainline(value: string): number {
  if (value === '1' || value === '2') return Number(value)
  throw new InvalidArgumentError('Write 1 or 2.')
}

function resolutionOf({ ours, theirs, take = {} }: SideOptions): { readonly resolve?: object } {
  if (ours && theirs) throw new UsageError('--ours and --theirs: choose one for all, and the others by --take')
  const all = ours ? 'ours' : theirs ? 'theirs' : undefined
  const paths = chosen(take, (path) => !path.endsWith('/'))
  const folders = chosen(take, (path) => path.endsWith('/'))
  if (all === undefined && paths === undefined && folders === undefined) return {}
  return { resolve: { ...(all && { all }), ...(paths && { paths }), ...(folders && { folders }) } }
}

function chosen(
  take: Readonly<Record<string, Side>>,
  isMeant: (path: string) => boolean,
): Readonly<Record<string, Side>> | undefined {
  const found = Object.entries(take).filter(([path]) => isMeant(path))
  return found.length === 0 ? undefined : Object.fromEntries(found)
}

async function mergeAction(session: Session, address: string, from: string, options: MergeOptions): Promise<void> {
  const { repo, branch } = parseBranch(address)
  const path = apiPath`/v1/repos/${repo}/branches/${branch}/merge`
  const body = {
    from: revisionIn(repo, from),
    ...(options.message !== undefined && { message: options.message }),
    ...resolutionOf(options),
    ...(options.dryRun && { dryRun: true }),
    ...(options.allowUnrelated && { allowUnrelated: true }),
  }
  const api = await session.api()
  const merged = await work<MergeJson>(session, api, path, body).catch((error: unknown) =>
    explain(session, options, error),
  )
  if (options.json) printJson(session, merged)
  else printMerge(session, merged, { repo, branch, from })
  if (merged.kind === 'preview' && merged.conflictsTotal > 0) {
    throw new CliError(`both sides changed ${merged.conflictsTotal} file(s): ${CHOOSE}`)
  }
}

function printMerge(
  session: Session,
  merged: MergeJson,
  { repo, branch, from }: { readonly repo: string; readonly branch: string; readonly from: string },
): void {
  switch (merged.kind) {
    case 'merged':
      print(session, `${merged.commit.id} on ${repo}@${branch}: ${countsText(merged)}\n`)
      break
    case 'contained':
      print(session, `${from} is part of ${repo}@${branch} already: nothing was changed\n`)
      break
    case 'preview':
      print(session, `${repo}@${branch} would have ${countsText(merged)}\n`)
      if (merged.conflictsTotal > 0) {
        print(session, `${conflictTable(merged.conflicts)}${moreText(merged.conflicts, merged.conflictsTotal)}`)
      }
  }
}

async function revertAction(session: Session, address: string, options: RevertOptions): Promise<void> {
  const { repo, revision } = parseRevision(address)
  const api = await session.api()
  const branch = options.branch ?? (await branchOf(api, repo, revision))
  const body = {
    commit: revision,
    ...(options.message !== undefined && { message: options.message }),
    ...resolutionOf(options),
    ...(options.mainline !== undefined && { mainline: options.mainline }),
  }
  const path = apiPath`/v1/repos/${repo}/branches/${branch}/revert`
  const reverted = await work<RevertJson>(session, api, path, body).catch((error: unknown) =>
    explain(session, options, error),
  )
  if (options.json) return printJson(session, reverted)
  if (reverted.kind === 'unchanged') {
    return print(session, `nothing is left of ${address} on ${repo}@${branch}: nothing was changed\n`)
  }
  print(session, `${reverted.commit.id} on ${repo}@${branch}: ${countsText(reverted)}\n`)
}

const CHOOSE =
  '--ours or --theirs decides for all of them, --take ours:PATH or --take theirs:PATH for one, or for a folder whose PATH ends in /'

/** What both sides changed is shown file by file; programs get it as `{kind: "conflict", conflicts, conflictsTotal}`. */
function explain(session: Session, options: JsonOption, error: unknown): never {
  if (!(error instanceof ApiError) || error.code !== 'MergeConflict') throw error
  const conflicts = error.data['conflicts'] as readonly MergeConflictJson[]
  const total = Number(error.data['total'])
  if (options.json) printJson(session, { kind: 'conflict', conflicts, conflictsTotal: total })
  else session.stderr.write(`${conflictTable(conflicts)}${moreText(conflicts, total)}`)
  throw new CliError(`both sides changed ${total} file(s), and nothing was changed: ${CHOOSE}`)
}

function conflictTable(conflicts: readonly MergeConflictJson[]): string {
  return table(
    ['CONFLICT', 'BASE', 'OURS', 'THEIRS'],
    conflicts.map(({ path, base, ours, theirs }) => [
      printable(path),
      sideText(base),
      sideText(ours),
      sideText(theirs),
    ]),
  )
}

function moreText(conflicts: readonly unknown[], total: number): string {
  return total > conflicts.length ? `and ${total - conflicts.length} more\n` : ''
}

function sideText(side: MergeConflictJson['base']): string {
  if (side === undefined) return '?'
  return side === null ? '-' : `${humanSize(side.sizeBytes)} ${side.etag.slice(0, 8)}`
}

function countsText({ added, changed, deleted }: MergeCountsJson): string {
  return `${added} file(s) added, ${changed} changed, ${deleted} deleted`
}

async function branchOf(api: ApiClient, repo: string, revision: string): Promise<string> {
  const base = baseOf(revision)
  if (base === '') return (await api.get<RepoJson>(apiPath`/v1/repos/${repo}`)).defaultBranch
  if (!isCommitId(base)) return base
  return (await api.get<CommitJson>(apiPath`/v1/repos/${repo}/commits/${revision}`)).branch
}
