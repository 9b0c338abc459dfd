import type { Command } from 'commander'
import type { PurgeEventJson, PurgeJson } from '../../api/contract.ts'
import { parseAddress } from '../address.ts'
import { apiPath } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, humanSize, printable } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'

const REDRAW_MS = 200

const phases = {
  versions: 'versions removed',
  trees: 'commits rewritten',
  content: 'looked at for unused content',
  databases: 'of 2 databases written anew; writes wait for it',
} as const

interface PurgeOptions extends JsonOption {
  readonly reason?: string
  readonly prefix?: boolean
  readonly yes?: boolean
}

export function addPurgeCommand(program: Command, session: Session): void {
  withJson(program.command('purge [repo:path]'))
    .summary('remove a file from all of history; without an address, list what was purged')
    .description(
      'Remove a path from every commit and every version of a repo, and its content from the store, wherever nothing else ' +
        'refers to it. There is no way back. Commits keep their ids; who did it, and why, is kept. Not touched: what pipelines ' +
        'computed from it, what was pushed out, backups.',
    )
    .option('--reason <text>', 'why; it is kept')
    .option('--prefix', 'everything that begins with the path')
    .option('--yes', 'do it')
    .action(async (address: string | undefined, options: PurgeOptions) => {
      if (address === undefined) return list(session, options)
      const { repo, revision, path } = parseAddress(address)
      if (revision !== undefined) throw new UsageError(`${address}: a purge is of all of history: write ${repo}:path`)
      if (path === undefined) throw new UsageError(`${address} names no path: write ${repo}:path`)
      if (options.reason === undefined) throw new UsageError('why? --reason TEXT: it stays when the files are gone')
      const what = `${repo}:${path}${options.prefix ? '…' : ''}`
      if (!options.yes) {
        throw new CliError(
          `${what} would be removed from every commit of ${repo}, for good. If that is meant, add --yes`,
        )
      }
      const body = { path, prefix: options.prefix === true, reason: options.reason }
      let drawnMs = 0
      const events = (await session.api()).lines<PurgeEventJson>('POST', apiPath`/v1/repos/${repo}/purges`, body)
      for await (const line of events) {
        if (line.kind === 'done') {
          if (session.stderr.isTTY) session.stderr.write('\r\x1b[K')
          return finish(session, options, line)
        }
        if (session.now() - drawnMs < REDRAW_MS || !session.stderr.isTTY) continue
        drawnMs = session.now()
        session.stderr.write(`\r${line.done} ${phases[line.phase]}\x1b[K`)
      }
      throw new CliError(
        'the purge has not come to its end: it goes on at the next start, or when it is asked for again',
      )
    })
}

function finish(session: Session, options: JsonOption, line: Extract<PurgeEventJson, { kind: 'done' }>): void {
  if (options.json) {
    const { kind: _kind, ...result } = line
    printJson(session, result)
    return
  }
  const { purge, reclaimedBytes, derived, derivedTotal, scrubMs } = line
  if (purge.versions === 0 && purge.commits === 0) {
    const folder = purge.path.endsWith('/') && !purge.prefix ? ' (everything below a folder takes --prefix)' : ''
    note(session, `nothing of ${purge.repo} has that name${folder}: was it meant? The record of the purge stays`)
  }
  print(
    session,
    `purged: ${purge.versions} version(s), from ${purge.commits} commit(s); ${humanSize(Math.max(0, reclaimedBytes))} freed on the disk\n`,
  )
  note(session, `the databases were written anew within ${(scrubMs / 1000).toFixed(1)} s, for which writes waited`)
  if (derivedTotal === 0) return
  note(
    session,
    `${derivedTotal} commit(s) of other repos were computed from commits that held it, and are as they were:`,
  )
  for (const { repo, commit } of derived) note(session, `  ${repo}@${commit}`)
}

async function list(session: Session, options: PurgeOptions): Promise<void> {
  if (options.reason !== undefined || options.prefix || options.yes) throw new UsageError('purge what? repo:path')
  const purges = await (await session.api()).get<PurgeJson[]>('/v1/purges')
  printList(session, options, purges, [
    ['WHAT', (item) => printable(`${item.repo}:${item.path}${item.prefix ? '…' : ''}`)],
    ['BY', (item) => item.by],
    ['ASKED', (item) => ago(item.asked, session.now())],
    ['STATE', (item) => (item.finished === null ? 'under way' : 'done')],
    ['VERSIONS', (item) => String(item.versions)],
    ['COMMITS', (item) => String(item.commits)],
    ['REASON', (item) => printable(item.reason)],
  ])
}
