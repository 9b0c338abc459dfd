import type { Command } from 'commander'
import type {
  CommitJson,
  DatumJson,
  DifferenceJson,
  DiffStatJson,
  FileJson,
  ProvenanceJson,
  RepoJson,
} from '../../api/contract.ts'
import { baseOf, isCommitId, parseAddress, parseRevision } from '../address.ts'
import { type ApiClient, apiPath, queryString } from '../client.ts'
import { UsageError } from '../errors.ts'
import { details, humanSize, printable } from '../format.ts'
import { type JsonOption, print, printJson, printList, type Session, withJson } from '../session.ts'
import { growth, parseCount } from './commits.ts'

export function addHistoryCommands(program: Command, session: Session): void {
  withJson(program.command('diff <from> [to]'))
    .summary('show what changed between two commits')
    .description(
      'Show what changed between two commits, as repo@revision; with one, since its parent. What a named branch has gathered ' +
        'is made a commit first. FROM may be `empty`; either may be an open transaction, as repo@tx-name.branch, which alone is ' +
        'compared with what it was opened on.',
    )
    .option('--prefix <path>', 'only paths that begin so')
    .option('--stat', 'numbers of files and bytes, folder by folder')
    .option('--name-only', 'the paths alone')
    .option('-n, --number <count>', 'at most so many', parseCount)
    .option('--after <path>', 'only paths after this one')
    .action((from: string, to: string | undefined, options: DiffOptions) => diffAction(session, from, to, options))
  withJson(program.command('restore <repo@revision>'))
    .summary('make an older commit the newest one')
    .description(
      "Make the files of an older commit the newest ones, by a new commit on its branch. `restore images@master^` takes the branch's " +
        'last commit back; what the branch has gathered is made a commit first and counts as the last one.',
    )
    .option('--branch <branch>', 'on this branch instead')
    .option('-m, --message <text>', 'what the new commit is about')
    .action(async (address: string, options: JsonOption & { branch?: string; message?: string }) => {
      const api = await session.api()
      const { repo, revision } = parseRevision(address)
      const branch = options.branch ?? (await branchOf(api, repo, revision))
      const body = { to: revision, ...(options.message !== undefined && { message: options.message }) }
      const restored = await api.post<CommitJson>(apiPath`/v1/repos/${repo}/branches/${branch}/restore`, body)
      if (options.json) return printJson(session, restored)
      print(session, `${repo}@${branch} is as it was at ${address} again: commit ${restored.id}\n`)
    })
  withJson(program.command('provenance <repo@revision[:path]>'))
    .summary('show what a commit or a file was made from')
    .description(
      'Show what a commit was computed from; of a file also the job, the datum and the files that it was made from.',
    )
    .option('--down', 'show what was computed from it instead')
    .action(async (address: string, options: JsonOption & { down?: boolean }) => {
      const { repo, revision, path } = parseAddress(address)
      if (revision === undefined) throw new UsageError(`${address} names no branch or commit: write ${repo}@REVISION`)
      const api = await session.api()
      if (path === undefined) return printProvenance(session, options, api, { repo, revision })
      if (options.down) throw new UsageError('--down is for commits: leave the path out')
      await printFileProvenance(session, options, api, { repo, revision, path })
    })
}

/** What is an address of a commit stays as it was written. */
function checked(address: string): string {
  if (address !== 'empty') parseRevision(address)
  return address
}

async function branchOf(api: ApiClient, repo: string, revision: string): Promise<string> {
  const base = baseOf(revision)
  if (base === '') return (await api.get<RepoJson>(apiPath`/v1/repos/${repo}`)).defaultBranch
  if (!isCommitId(base)) return base
  return (await api.get<CommitJson>(apiPath`/v1/repos/${repo}/commits/${revision}`)).branch
}

interface DiffOptions extends JsonOption {
  readonly prefix?: string
  readonly stat?: boolean
  readonly nameOnly?: boolean
  readonly number?: number
  readonly after?: string
}

async function diffAction(session: Session, from: string, to: string | undefined, options: DiffOptions): Promise<void> {
  const { prefix, stat, nameOnly, number, after } = options
  if (stat && (nameOnly || number !== undefined || after !== undefined)) {
    throw new UsageError('--stat counts all of it: leave --name-only, -n and --after out')
  }
  if (nameOnly && options.json) throw new UsageError('--json has the paths already: leave --name-only out')
  const { repo, revision } = parseRevision(to ?? from)
  const base = { from: to === undefined ? undefined : checked(from), prefix }
  const path = apiPath`/v1/repos/${repo}/commits/${revision}/diff`
  const api = await session.api()
  if (stat) {
    return printStat(session, options, api.lines<DiffStatJson>('GET', `${path}/stat${queryString(base)}`))
  }
  const found = api.lines<DifferenceJson>('GET', path + queryString({ ...base, limit: number, after }))
  if (!nameOnly) return printDiff(session, options, found)
  for await (const difference of found) print(session, `${printable(difference.path)}\n`)
}

async function printStat(session: Session, options: JsonOption, stats: AsyncIterable<DiffStatJson>): Promise<void> {
  const all: DiffStatJson[] = []
  for await (const stat of stats) all.push(stat)
  const grew = ({ added, deleted, changed }: DiffStatJson) =>
    added.bytes - deleted.bytes + changed.bytesAfter - changed.bytesBefore
  printList(session, options, all, [
    ['PATH', ({ path }) => (path === null ? 'all' : path || '(files at the top)')],
    ['ADDED', ({ added }) => `${added.files} (${humanSize(added.bytes)})`],
    ['DELETED', ({ deleted }) => `${deleted.files} (${humanSize(deleted.bytes)})`],
    ['CHANGED', ({ changed }) => `${changed.files}`],
    ['SIZE', (stat) => growth(grew(stat))],
  ])
}

const signs = { added: '+', deleted: '-', changed: '~' } as const

async function printDiff(
  session: Session,
  options: JsonOption,
  differences: AsyncIterable<DifferenceJson>,
): Promise<void> {
  const all: DifferenceJson[] = []
  const counts = { added: 0, deleted: 0, changed: 0 }
  let grown = 0
  for await (const difference of differences) {
    if (options.json) {
      all.push(difference)
      continue
    }
    const { kind, path, before, after } = difference
    counts[kind]++
    grown += (after?.sizeBytes ?? 0) - (before?.sizeBytes ?? 0)
    const sizes = [before, after].filter((file) => file !== null).map((file) => humanSize(file.sizeBytes))
    print(session, `${signs[kind]} ${printable(path)}  ${sizes.join(' → ')}\n`)
  }
  if (options.json) return printJson(session, all)
  const { added, deleted, changed } = counts
  if (added + deleted + changed === 0) return print(session, 'nothing changed\n')
  print(session, `${added} added, ${deleted} deleted, ${changed} changed: ${growth(grown)}\n`)
}

async function printProvenance(
  session: Session,
  options: JsonOption & { down?: boolean },
  api: ApiClient,
  { repo, revision }: { repo: string; revision: string },
): Promise<void> {
  const commit = apiPath`/v1/repos/${repo}/commits/${revision}`
  const found = await api.get<ProvenanceJson[]>(`${commit}/${options.down ? 'subvenance' : 'provenance'}`)
  printList(session, options, found, [
    ['REPO', (item) => item.repo],
    ['BRANCH', (item) => item.branch],
    ['COMMIT', (item) => item.commit],
    ['HOW', (item) => (item.direct ? 'directly' : 'by way of others')],
  ])
}

async function printFileProvenance(
  session: Session,
  options: JsonOption,
  api: ApiClient,
  { repo, revision, path }: { repo: string; revision: string; path: string },
): Promise<void> {
  const at = await api.get<CommitJson>(apiPath`/v1/repos/${repo}/commits/${revision}`)
  const file = await api.get<FileJson>(apiPath`/v1/repos/${repo}/commits/${at.id}/file` + queryString({ path }))
  const datum =
    file.origin && (await api.get<DatumJson>(apiPath`/v1/jobs/${file.origin.job}/datums/${file.origin.datum}`))
  if (options.json) {
    return printJson(session, { ...file, repo, commit: at.id, provenance: at.provenance, inputs: datum?.inputs ?? [] })
  }
  const pairs: [string, string][] = [
    ['File', `${repo}@${at.id}:${printable(path)}`],
    ['Version', file.version],
  ]
  if (datum === undefined) pairs.push(['Made by', 'a write to the branch, not by a pipeline'])
  else
    pairs.push(
      ['Job', datum.job],
      ['Datum', datum.id],
      ...datum.inputs.map((input): [string, string] => ['From', printable(input)]),
    )
  pairs.push(['Provenance', at.provenance.map((ref) => `${ref.repo}@${ref.commit}`).join(', ') || '<none>'])
  print(session, details(pairs))
}
