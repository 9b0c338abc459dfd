import { type Command, InvalidArgumentError } from 'commander'
import type { BranchJson } from '../../api/contract.ts'
import { parseBranch } from '../address.ts'
import { apiPath } from '../client.ts'
import { details, exactDuration, parseDuration } from '../format.ts'
import { type JsonOption, print, printJson, type Session, withJson } from '../session.ts'
import { parseCount } from './commits.ts'

interface BatchOptions extends JsonOption {
  readonly idle?: number
  readonly maxAge?: number
  readonly maxChanges?: number
  readonly default?: boolean
}

/** `sluice branch batch`: shows when writes become a commit by themselves, and changes it. */
export function addBatchCommand(branch: Command, session: Session): void {
  withJson(branch.command('batch <repo@branch>'))
    .summary('show or set when writes become a commit by themselves')
    .description(
      'Show when the writes of a branch are made a commit by themselves, or set it for this branch. What is not set follows the server.',
    )
    .option('--idle <duration>', 'when nothing was written for so long: 500ms, 5s, 1m', parseWait)
    .option('--max-age <duration>', 'so long after the first write, however busy it is', parseWait)
    .option('--max-changes <count>', 'at so many changes', parseCount)
    .option('--default', 'let go of what was set before')
    .action(async (address: string, options: BatchOptions) => {
      const { repo, branch: name } = parseBranch(address)
      const given = {
        ...(options.idle !== undefined && { idleMs: options.idle }),
        ...(options.maxAge !== undefined && { maxAgeMs: options.maxAge }),
        ...(options.maxChanges !== undefined && { maxChanges: options.maxChanges }),
      }
      const changes = options.default === true || Object.keys(given).length > 0
      const api = await session.api()
      const path = apiPath`/v1/repos/${repo}/branches/${name}`
      let found = await api.get<BranchJson>(path)
      if (changes) {
        const kept = options.default ? {} : ownRules(found)
        found = await api.put<BranchJson>(`${path}/batch`, { ...kept, ...given })
      }
      if (options.json) return printJson(session, found)
      print(session, details([['Branch', `${repo}@${name}`], ...batchDetails(found)]))
    })
}

/** As pairs of a label and a text. */
export function batchDetails({ batch }: BranchJson): [string, string][] {
  const of = (name: (typeof batch.own)[number], text: string) => (batch.own.includes(name) ? `${text} (set)` : text)
  return [
    ['Commit when idle', of('idleMs', exactDuration(batch.idleMs))],
    ['Commit when old', of('maxAgeMs', exactDuration(batch.maxAgeMs))],
    ['Commit when large', of('maxChanges', `${batch.maxChanges} changes`)],
  ]
}

function ownRules({ batch }: BranchJson): Record<string, number> {
  return Object.fromEntries(batch.own.map((name) => [name, batch[name]]))
}

function parseWait(value: string): number {
  const ms = parseDuration(value)
  if (ms === undefined || ms < 1) throw new InvalidArgumentError('Write a duration like 500ms, 5s, 10m or 2h.')
  return ms
}
