import type { Command } from 'commander'
import type { ExpiredJson, RetentionJson } from '../../api/contract.ts'
import { apiPath, queryString } from '../client.ts'
import { UsageError } from '../errors.ts'
import { ago, details } from '../format.ts'
import { type JsonOption, print, printJson, printList, type Session, withJson } from '../session.ts'
import { parseCount } from './commits.ts'

interface RetentionOptions extends JsonOption {
  readonly keepDays?: number
  readonly keepCommits?: number
  readonly clear?: true
  readonly preview?: true
}

/** `sluice repo retention`: shows which commits of a repo are kept, and changes it. */
export function addRetentionCommand(repo: Command, session: Session): void {
  withJson(repo.command('retention <repo>'))
    .summary('show or set which commits are kept')
    .description(
      'Show or set which commits of a repo are kept: those that any of the rules keeps. The rest, with the versions that only they hold, goes ' +
        'for good with the next garbage collection; heads, tagged commits and what is worked with never go. Without rules everything is ' +
        'kept that a branch or a tag leads to.',
    )
    .option('--keep-days <days>', 'keep what was finished within so many days', parseCount)
    .option('--keep-commits <count>', 'keep the newest so many commits of each branch', parseCount)
    .option('--clear', 'without rules again')
    .option('--preview', 'list the commits that would go, by the rules there are or by those given; nothing is changed')
    .action(async (name: string, options: RetentionOptions) => {
      const { keepDays, keepCommits } = options
      const given = { ...(keepDays !== undefined && { keepDays }), ...(keepCommits !== undefined && { keepCommits }) }
      const some = Object.keys(given).length > 0
      if (options.clear && (some || options.preview)) throw new UsageError('--clear goes with nothing else')
      const api = await session.api()
      const path = apiPath`/v1/repos/${name}/retention`
      if (options.preview) return preview(session, options, api.lines('GET', `${path}/preview${queryString(given)}`))
      if (options.clear) await api.delete(path)
      const found = some ? await api.put<RetentionJson>(path, given) : await api.get<RetentionJson>(path)
      if (options.json) return printJson(session, found)
      print(session, details([['Repo', name], ...describe(found)]))
    })
}

function describe({ keepDays, keepCommits }: RetentionJson): [string, string][] {
  if (keepDays === undefined && keepCommits === undefined) return [['Kept', 'all that a branch or a tag leads to']]
  const pairs: [string, string][] = []
  if (keepDays !== undefined) pairs.push(['Kept', `what was finished within ${keepDays} day(s)`])
  if (keepCommits !== undefined) pairs.push(['Kept', `the newest ${keepCommits} commit(s) of each branch`])
  return pairs
}

async function preview(session: Session, options: JsonOption, lines: AsyncIterable<ExpiredJson>): Promise<void> {
  const found: ExpiredJson[] = []
  for await (const line of lines) found.push(line)
  printList(session, options, found, [
    ['COMMIT', (item) => item.commit],
    ['BRANCH', (item) => item.branch],
    ['FINISHED', (item) => ago(item.finished, session.now())],
    ['WHY', (item) => (item.why === 'unreachable' ? 'no branch or tag leads to it' : 'no rule keeps it')],
  ])
}
