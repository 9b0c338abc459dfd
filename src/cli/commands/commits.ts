import { type Command, InvalidArgumentError } from 'commander'
import type { CommitJson, FileChangeJson, RepoJson } from '../../api/contract.ts'
import { parseAddress, parseBranch, parseRevision } from '../address.ts'
import { type ApiClient, apiPath, queryString } from '../client.ts'
import { UsageError } from '../errors.ts'
import { ago, between, details, humanSize, shorten } from '../format.ts'
import { type JsonOption, print, printJson, printList, type Session, withJson } from '../session.ts'

const PAGE = 1000

interface ListOptions extends JsonOption {
  readonly number?: number
  readonly since?: string
  readonly until?: string
}

export function addCommitCommands(program: Command, session: Session): void {
  const commit = program.command('commit').description('commits: snapshots of a repo')
  commit
    .command('start <repo@branch>')
    .description('open a commit that gathers writes until it is finished; prints its id')
    .option('-m, --message <text>', 'what it is about')
    .action(async (address: string, options: { message?: string }) => {
      const { repo, branch } = parseBranch(address)
      const path = apiPath`/v1/repos/${repo}/branches/${branch}/start`
      print(session, `${(await (await session.api()).post<CommitJson>(path, options)).id}\n`)
    })
  commit
    .command('finish <repo@branch>')
    .description('finish the open commit of a branch; prints its id when it can be read')
    .option('-m, --message <text>', 'what it is about')
    .action(async (address: string, options: { message?: string }) => {
      const { repo, branch } = parseBranch(address)
      const path = apiPath`/v1/repos/${repo}/branches/${branch}/finish`
      print(session, `${(await (await session.api()).post<CommitJson>(path, options)).id}\n`)
    })
  withJson(commit.command('list <repo[@revision][:path]>'))
    .summary('list commits, newest first')
    .description(
      'List commits, newest first: all of a repo, or a branch or commit with the history behind it. With a path, the commits that ' +
        'changed that file; with a path that ends in /, those that changed anything in that folder.',
    )
    .option('-n, --number <count>', 'at most so many', parseCount)
    .option('--since <time>', 'that became the head then or later: 2026-11-13 or 2026-11-13T10:00Z')
    .option('--until <time>', 'that had become the head by then')
    .action((address: string, options: ListOptions) => listAction(session, address, options))
  withJson(commit.command('inspect <repo@revision>').description('show a commit')).action(
    async (address: string, options: JsonOption) => {
      const { repo, revision } = parseRevision(address)
      const found = await (await session.api()).get<CommitJson>(apiPath`/v1/repos/${repo}/commits/${revision}`)
      if (options.json) return printJson(session, found)
      print(session, details(describeCommit(found, session.now())))
    },
  )
}

/** `REPO ID PARENT STARTED DURATION SIZE` */
export function printCommits(session: Session, options: JsonOption, commits: readonly CommitJson[]): void {
  const now = session.now()
  printList(session, options, commits, [
    ['REPO', (item) => item.repo],
    ['ID', (item) => item.id],
    ['PARENT', (item) => item.parents.join(', ') || noParent(item)],
    ['STARTED', (item) => ago(item.started, now)],
    ['DURATION', (item) => (item.finished === null ? '-' : between(item.started, item.finished, now))],
    ['SIZE', (item) => sizeOrState(item)],
  ])
}

/** While a commit gathers writes, another may still come before it. */
function noParent(commit: CommitJson): string {
  return commit.state === 'open' ? '-' : '<none>'
}

/** Only a finished commit has a size; of the others it matters more how they stand. */
function sizeOrState(commit: CommitJson): string {
  if (commit.state === 'finished') return humanSize(commit.sizeBytes)
  return commit.heldBy === undefined ? commit.state : `${commit.state}, held by ${commit.heldBy}`
}

async function listAction(session: Session, address: string, options: ListOptions): Promise<void> {
  const { repo, revision, path } = parseAddress(address)
  const { number, since, until } = options
  const api = await session.api()
  if (path === undefined) {
    const commits = await listCommits(api, repo, { revision, since, until }, number ?? Number.POSITIVE_INFINITY)
    return printCommits(session, options, commits)
  }
  if (since !== undefined) throw new UsageError('--since is for a whole log: of a file, say how many with -n')
  const from = revision ?? (await api.get<RepoJson>(apiPath`/v1/repos/${repo}`)).defaultBranch
  if (until !== undefined && /[@^{]/.test(from))
    throw new UsageError(`--until is for a branch: ${from} has its own time`)
  const at = until === undefined ? from : `${from}@{${until}}`
  await printFileLog(session, options, api, { repo, revision: at, path, number })
}

async function printFileLog(
  session: Session,
  options: JsonOption,
  api: ApiClient,
  of: { repo: string; revision: string; path: string; number: number | undefined },
): Promise<void> {
  const below = of.path.endsWith('/') ? true : undefined
  const query = queryString({ path: of.path, below, limit: of.number })
  const found: FileChangeJson[] = []
  const source = apiPath`/v1/repos/${of.repo}/commits/${of.revision}/log` + query
  for await (const change of api.lines<FileChangeJson>('GET', source)) found.push(change)
  const now = session.now()
  printList(session, options, found, [
    ['COMMIT', (item) => item.commit.id],
    ['FINISHED', (item) => (item.commit.finished === null ? '-' : ago(item.commit.finished, now))],
    ['CHANGE', (item) => changeText(item)],
    ['SIZE', (item) => growth(item.growthBytes)],
    ['MESSAGE', (item) => shorten(item.commit.message, 60)],
  ])
}

function changeText({ difference, added, deleted, changed }: FileChangeJson): string {
  return difference?.kind ?? `+${added} -${deleted} ~${changed}`
}

/** By how much something grew. */
export function growth(bytes: number): string {
  return `${bytes < 0 ? '-' : '+'}${humanSize(Math.abs(bytes))}`
}

async function listCommits(
  api: ApiClient,
  repo: string,
  query: { revision: string | undefined; since: string | undefined; until: string | undefined },
  count: number,
): Promise<CommitJson[]> {
  const commits: CommitJson[] = []
  for (;;) {
    const limit = Math.min(PAGE, count - commits.length)
    const text = queryString({ ...query, limit, before: commits.at(-1)?.id })
    const page = await api.get<CommitJson[]>(apiPath`/v1/repos/${repo}/commits` + text)
    commits.push(...page)
    if (page.length < limit || commits.length >= count) return commits
  }
}

function describeCommit(commit: CommitJson, nowMs: number): [string, string][] {
  const pairs: [string, string][] = [
    ['Commit', `${commit.repo}@${commit.id}`],
    ['Branch', commit.branch],
    ['Parent', commit.parents.join(', ') || noParent(commit)],
    ['State', commit.state],
    ...(commit.heldBy === undefined ? [] : [['Held by', commit.heldBy] as [string, string]]),
    ['Started', `${ago(commit.started, nowMs)} (${commit.started})`],
  ]
  if (commit.finished !== null) {
    pairs.push(['Finished', `${ago(commit.finished, nowMs)} (${commit.finished})`])
    pairs.push(['Duration', between(commit.started, commit.finished, nowMs)])
  }
  pairs.push(['Size', `${humanSize(commit.sizeBytes)} in ${commit.files} file(s)`])
  if (commit.message !== '') pairs.push(['Message', commit.message])
  if (commit.authors.length > 0) pairs.push(['Authors', commit.authors.join(', ')])
  if (commit.failure) pairs.push(['Failure', `${commit.failure.kind}: ${commit.failure.reason}`])
  const provenance = commit.provenance.map((ref) => `${ref.repo}@${ref.commit}`)
  pairs.push(['Provenance', provenance.join(', ') || '<none>'])
  return pairs
}

/** A whole number of 1 or more, for commander. */
export function parseCount(value: string): number {
  const count = Number(value)
  if (/^\d{1,9}$/.test(value) && count > 0) return count
  throw new InvalidArgumentError('It must be a whole number of 1 or more.')
}
