import type { Command } from 'commander'
import type { GcEventJson, HolderJson, WhyJson } from '../../api/contract.ts'
import { apiPath } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { humanSize, printable } from '../format.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'

const REDRAW_MS = 200

const phases = {
  commits: 'commits that are not kept',
  mark: 'nodes that are in use',
  nodes: 'nodes looked at',
  chunks: 'chunks looked at',
  packs: 'packs looked at',
} as const

interface GcCommandOptions extends JsonOption {
  readonly dryRun?: boolean
  readonly grace?: string
}

export function addGcCommands(program: Command, session: Session): void {
  withJson(program.command('gc'))
    .summary('remove what nothing refers to any more')
    .description(
      'Remove what nothing refers to any more: commits that are not kept, nodes of trees, content. The server goes on ' +
        'meanwhile. Content goes in two steps: what is found unused now is removed by the first gc after its grace.',
    )
    .option('--dry-run', 'only say what would go')
    .option('--grace <seconds>', 'how long what was found unused is kept (default: 3600)')
    .action(async (options: GcCommandOptions) => {
      const body = {
        dryRun: options.dryRun === true,
        ...(options.grace !== undefined && { graceSeconds: wholeSeconds(options.grace) }),
      }
      let drawnMs = 0
      for await (const line of (await session.api()).lines<GcEventJson>('POST', '/v1/gc', body)) {
        if (line.kind === 'done') {
          clear(session)
          return showResult(session, options, line)
        }
        if (session.now() - drawnMs < REDRAW_MS || !session.stderr.isTTY) continue
        drawnMs = session.now()
        session.stderr.write(`\r${line.done} ${phases[line.phase]}\x1b[K`)
      }
      throw new CliError('the collection has not come to its end: what it has done is done; run it again')
    })
  withJson(program.command('why <sha256>'))
    .summary('show who refers to a piece of content or to a node of a tree')
    .description(
      'Show who refers to a chunk, a manifest or a node of a tree, by its SHA-256: all trees are looked at, which takes a while in a large store.',
    )
    .action(async (sha256: string, options: JsonOption) => {
      for await (const line of (await session.api()).lines<WhyJson>('GET', apiPath`/v1/why/${sha256}`)) {
        return showWhy(session, options, line)
      }
      throw new CliError('the server gave no answer: try again')
    })
}

function clear(session: Session): void {
  if (session.stderr.isTTY) session.stderr.write('\r\x1b[K')
}

function wholeSeconds(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new UsageError(`--grace ${value}: a whole number of seconds, as in --grace 3600`)
  return Number(value)
}

function showResult(session: Session, options: JsonOption, line: Extract<GcEventJson, { kind: 'done' }>): void {
  if (line.damagedPacks.length > 0) session.exitCode = 1
  if (options.json) {
    const { kind: _kind, ...result } = line
    printJson(session, result)
    return
  }
  const found = [
    `${line.commits} commit(s)`,
    `${line.nodes} node(s) (${humanSize(line.nodeBytes)})`,
    `${line.chunks} chunk(s) (${humanSize(line.chunkBytes)})`,
    ...(line.results > 0 ? [`${line.results} result(s) of datums`] : []),
  ].join(', ')
  if (line.dryRun) {
    print(session, `would go: ${found}\n`)
    return
  }
  print(session, `not used any more: ${found}\n`)
  print(
    session,
    `removed: ${line.removedChunks} chunk(s) (${humanSize(line.removedBytes)}); packs: ${line.packsRemoved} removed, ` +
      `${line.packsRepacked} rewritten, ${humanSize(Math.max(0, line.reclaimedBytes))} freed on the disk\n`,
  )
  if (line.waitingBytes > 0)
    note(session, `${humanSize(line.waitingBytes)} wait for their grace to be over: gc once more then`)
  for (const pack of line.damagedPacks) note(session, `pack ${pack} is damaged and was left as it is: sluice fsck`)
}

function showWhy(session: Session, options: JsonOption, line: WhyJson): void {
  if (options.json) {
    printJson(session, line)
    return
  }
  if (line.kind === 'gone') {
    print(session, 'it is in no pack and in no tree\n')
    return
  }
  const size = line.bytes === undefined ? '' : `, ${humanSize(line.bytes)}`
  print(session, `${line.kind}${size}\n`)
  for (const holder of line.held) print(session, `${printable(describe(holder))}\n`)
  if (line.total > line.held.length) note(session, `and ${line.total - line.held.length} more`)
  if (line.total === 0) print(session, 'nobody refers to it: it goes with the next gc\n')
}

function describe({ kind, repo, branch, commit, id, what, path }: HolderJson): string {
  const at = path === undefined ? '' : `:${path}`
  switch (kind) {
    case 'commit':
      return `commit       ${repo}@${commit}${at} (branch ${branch})`
    case 'version':
      return `version      ${repo}@${branch}${at} of commit ${commit}`
    case 'branch':
    case 'transaction':
      return `${kind.padEnd(12)} ${repo}@${branch}${at}`
    case 'upload':
    case 'scratch':
      return `${kind.padEnd(12)} ${repo}@${branch}${at} ${id}`
    case 'other':
      return `${what}: ${id}${at}`
  }
}
