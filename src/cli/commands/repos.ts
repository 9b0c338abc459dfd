import type { Command } from 'commander'
import type { BranchJson, CommitJson, RepoJson } from '../../api/contract.ts'
import { ROOMY_REPO_NAME } from '../../kernel/index.ts'
import { parseAddress, parseBranch, revisionIn } from '../address.ts'
import { apiPath, queryString } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, details, humanSize } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'
import { addBatchCommand, batchDetails } from './batch.ts'
import { addBranchGraphCommands } from './branch-graph.ts'
import { addRetentionCommand } from './retention.ts'

/** Its commits are buckets with longer names than most clients take. */
function warnOfLength(session: Session, name: string): void {
  if (name.length <= ROOMY_REPO_NAME) return
  note(
    session,
    `note: ${name} has more than ${ROOMY_REPO_NAME} characters: buckets like <commit>.${name} are too long for most S3 tools; read its commits by the CLI or the API`,
  )
}

export function addRepoCommands(program: Command, session: Session): void {
  const repo = program.command('repo').description('repos: named, versioned collections of files')
  repo
    .command('create <repo>')
    .description('create a repo')
    .option('-d, --description <text>', 'what it is for')
    .action(async (name: string, { description }: { description?: string }) => {
      const api = await session.api()
      await api.post('/v1/repos', { name, ...(description !== undefined && { description }) })
      warnOfDigit(session, name)
      warnOfLength(session, name)
    })
  withJson(repo.command('list').description('list the repos')).action(async (options: JsonOption) => {
    const repos = await (await session.api()).get<RepoJson[]>('/v1/repos')
    printList(session, options, repos, [
      ['NAME', (item) => item.name],
      ['CREATED', (item) => ago(item.created, session.now())],
      ['SIZE', (item) => humanSize(item.sizeBytes)],
      ['FILES', (item) => String(item.files)],
      ['BRANCHES', (item) => item.branches.join(', ') || '<none>'],
      ['DESCRIPTION', (item) => item.description],
    ])
  })
  withJson(repo.command('inspect <repo>').description('show a repo')).action(
    async (name: string, options: JsonOption) => {
      const found = await (await session.api()).get<RepoJson>(apiPath`/v1/repos/${name}`)
      if (options.json) return printJson(session, found)
      const pairs: [string, string][] = [
        ['Name', found.name],
        ['Description', found.description || '<none>'],
        ['Created', ago(found.created, session.now())],
        ['Size', `${humanSize(found.sizeBytes)} in ${found.files} file(s) at ${found.defaultBranch}`],
        ['Branches', found.branches.join(', ') || '<none>'],
      ]
      if (found.derived) pairs.push(['Made by', 'a pipeline'])
      print(session, details(pairs))
    },
  )
  addRetentionCommand(repo, session)
  repo
    .command('delete <repo>')
    .description('delete a repo with all its branches, commits and files')
    .option('--force', 'also if it has commits; they are gone for good')
    .action(async (name: string, { force = false }: { force?: boolean }) => {
      const api = await session.api()
      const [commit] = force
        ? []
        : await api.get<CommitJson[]>(apiPath`/v1/repos/${name}/commits` + queryString({ limit: 1 }))
      if (commit)
        throw new CliError(`repo ${name} has commits: --force deletes them, and all files with them, for good`)
      await api.delete(apiPath`/v1/repos/${name}`)
    })
}

export function addBranchCommands(program: Command, session: Session): void {
  const branch = program.command('branch').description('branches: movable names for commits')
  branch
    .command('create <repo@branch>')
    .description('create a branch, and its repo where it is missing')
    .option('--head <revision>', 'start at this commit or branch of the repo; empty if left out')
    .action(async (address: string, { head }: { head?: string }) => {
      const { repo, branch: name } = parseBranch(address)
      const api = await session.api()
      await api.post(apiPath`/v1/repos/${repo}/branches`, {
        name,
        ...(head !== undefined && { from: revisionIn(repo, head) }),
      })
      warnOfDigit(session, repo)
    })
  withJson(branch.command('list <repo>').description('list the branches of a repo')).action(
    async (address: string, options: JsonOption) => {
      const { repo, revision, path } = parseAddress(address)
      if (revision !== undefined || path !== undefined) throw new UsageError(`write only the repo's name: ${repo}`)
      const branches = await (await session.api()).get<BranchJson[]>(apiPath`/v1/repos/${repo}/branches`)
      printList(session, options, branches, [
        ['BRANCH', (item) => item.name],
        ['HEAD', (item) => item.head ?? '<none>'],
        ['OPEN COMMIT', (item) => item.openCommit ?? '<none>'],
        ['CREATED', (item) => ago(item.created, session.now())],
        ['PROTECTED', (item) => (item.protected ? 'yes' : '-')],
      ])
    },
  )
  withJson(branch.command('inspect <repo@branch>').description('show a branch')).action(
    async (address: string, options: JsonOption) => {
      const { repo, branch: name } = parseBranch(address)
      const found = await (await session.api()).get<BranchJson>(apiPath`/v1/repos/${repo}/branches/${name}`)
      if (options.json) return printJson(session, found)
      print(
        session,
        details([
          ['Branch', `${found.repo}@${found.name}`],
          ['Bucket', `s3://${found.bucket}`],
          ['Head', found.head ?? '<none>'],
          ['Open commit', found.openCommit ?? '<none>'],
          ['Created', ago(found.created, session.now())],
          ['Protected', found.protected ? 'yes: only merges change it' : 'no'],
          ['Writes', found.readOnly === null ? 'allowed' : `refused: ${found.readOnly}`],
          ...batchDetails(found),
        ]),
      )
    },
  )
  addBatchCommand(branch, session)
  addBranchGraphCommands(branch, session)
  branch
    .command('delete <repo@branch>')
    .description('delete a branch, and the repo with its last branch')
    .option('--force', 'also if it still holds files')
    .action(async (address: string, { force }: { force?: boolean }) => {
      const { repo, branch: name } = parseBranch(address)
      const api = await session.api()
      await api.delete(apiPath`/v1/repos/${repo}/branches/${name}` + queryString({ force }))
    })
}

/** Java's `URI.getHost()` is null where the last label begins with a digit, and S3A takes the bucket's name from there. */
function warnOfDigit(session: Session, repo: string): void {
  if (!/^[0-9]/.test(repo)) return
  note(session, `${repo} begins with a digit: S3A, and so Spark, can't address its buckets. Every other client can.`)
}
