import type { Command } from 'commander'
import type { TagJson } from '../../api/contract.ts'
import { parseAddress, parseRevision } from '../address.ts'
import { type ApiClient, apiPath, queryString } from '../client.ts'
import { UsageError } from '../errors.ts'
import { ago, details, shorten } from '../format.ts'
import { type JsonOption, print, printJson, printList, type Session, withJson } from '../session.ts'

const PAGE = 1_000

export function addTagCommands(program: Command, session: Session): void {
  const tag = program.command('tag').description('tags: names of commits that never move')
  withJson(tag.command('create <repo@revision> <name>'))
    .description('tag a commit, or the newest one of a branch')
    .option('-m, --message <text>', 'what it is for')
    .action(async (address: string, name: string, options: JsonOption & { message?: string }) => {
      const { repo, revision } = parseRevision(address)
      const made = await (await session.api()).post<TagJson>(apiPath`/v1/repos/${repo}/tags`, {
        name,
        at: revision,
        ...(options.message !== undefined && { message: options.message }),
      })
      if (options.json) return printJson(session, made)
      print(session, `${repo}@${made.name} is commit ${made.commit}, read at s3://${made.bucket}\n`)
    })
  withJson(tag.command('list <repo>').description('list the tags of a repo')).action(
    async (address: string, options: JsonOption) => {
      const { repo, revision, path } = parseAddress(address)
      if (revision !== undefined || path !== undefined) throw new UsageError(`write only the repo's name: ${repo}`)
      printList(session, options, await allTags(await session.api(), repo), [
        ['TAG', (item) => item.name],
        ['COMMIT', (item) => item.commit],
        ['CREATED', (item) => ago(item.created, session.now())],
        ['BY', (item) => item.author ?? '-'],
        ['MESSAGE', (item) => shorten(item.message, 60)],
      ])
    },
  )
  withJson(tag.command('inspect <repo@tag>').description('show a tag')).action(
    async (address: string, options: JsonOption) => {
      const { repo, revision } = parseRevision(address)
      const found = await (await session.api()).get<TagJson>(apiPath`/v1/repos/${repo}/tags/${revision}`)
      if (options.json) return printJson(session, found)
      print(
        session,
        details([
          ['Tag', `${found.repo}@${found.name}`],
          ['Commit', found.commit],
          ['Bucket', `s3://${found.bucket}`],
          ['Created', ago(found.created, session.now())],
          ['By', found.author ?? '-'],
          ['Message', found.message || '<none>'],
        ]),
      )
    },
  )
  tag
    .command('delete <repo@tag>')
    .description('delete a tag; its commit stays as long as something else keeps it')
    .action(async (address: string) => {
      const { repo, revision } = parseRevision(address)
      await (await session.api()).delete(apiPath`/v1/repos/${repo}/tags/${revision}`)
    })
}

async function allTags(api: ApiClient, repo: string): Promise<readonly TagJson[]> {
  const tags: TagJson[] = []
  for (;;) {
    const query = queryString({ limit: PAGE, after: tags.at(-1)?.name })
    const page = await api.get<TagJson[]>(apiPath`/v1/repos/${repo}/tags` + query)
    tags.push(...page)
    if (page.length < PAGE) return tags
  }
}
