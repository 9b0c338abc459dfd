import type { Command } from 'commander'
import type { BranchJson, MovedBranchJson } from '../../api/contract.ts'
import { parseBranch, revisionIn } from '../address.ts'
import { apiPath } from '../client.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'
import { work } from '../work.ts'

/** `sluice branch move`, `protect` and `unprotect`. */
export function addBranchGraphCommands(branch: Command, session: Session): void {
  withJson(branch.command('move <repo@branch>'))
    .summary('point a branch at another commit')
    .description(
      'Point a branch at another commit of its repo: what is written from here on follows that one. What the branch held stays readable by its ' +
        'id until it is collected. To keep it in the history, use `sluice restore`.',
    )
    .requiredOption('--to <revision>', 'the commit, branch or tag that it is pointed at')
    .option('--expect <revision>', 'only if this is its newest commit')
    .action(async (address: string, options: JsonOption & { to: string; expect?: string }) => {
      const { repo, branch: name } = parseBranch(address)
      const api = await session.api()
      const moved = await work<MovedBranchJson>(session, api, apiPath`/v1/repos/${repo}/branches/${name}/move`, {
        to: revisionIn(repo, options.to),
        ...(options.expect !== undefined && { expect: revisionIn(repo, options.expect) }),
      })
      if (options.json) return printJson(session, moved)
      print(session, `${repo}@${name} is at ${moved.branch.head ?? '<none>'}\n`)
      if (moved.left !== null) note(session, `what it held is ${repo}@${moved.left}: tag it, if it is to be kept`)
    })
  const protection = (name: string, summary: string, isProtected: boolean) =>
    branch
      .command(`${name} <repo@branch>`)
      .description(summary)
      .action(async (address: string) => {
        const { repo, branch: of } = parseBranch(address)
        const path = apiPath`/v1/repos/${repo}/branches/${of}/protection`
        await (await session.api()).put<BranchJson>(path, { protected: isProtected })
      })
  protection('protect', 'let only merges change a branch', true)
  protection('unprotect', 'let a branch be written to again', false)
}
