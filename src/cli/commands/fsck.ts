import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { FaultJson, FsckJson, FsckVerdictJson, StatsJson } from '../../api/contract.ts'
import { errorMessage } from '../../kernel/index.ts'
import { ApiError, CliError } from '../errors.ts'
import { humanSize, printable, table } from '../format.ts'
import { offlineLines } from '../offline.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'

/** As `fsck` of file systems has it, nearly: nothing was found out. */
class NotChecked extends CliError {
  override readonly exitCode = 2
}

interface FsckCommandOptions extends JsonOption {
  readonly deep?: true
  readonly repair?: true
  readonly data?: string
}

const phases = {
  database: 'pages of the databases',
  rows: 'rows of the metadata',
  packs: 'packs',
  trees: 'trees',
  versions: 'versions',
  paths: 'what the damage touches',
  repair: 'mending',
} as const

/** `sluice fsck` and `sluice stats`. */
export function addFsckCommands(program: Command, session: Session): void {
  withJson(program.command('fsck'))
    .summary('look for damage in the store')
    .description(
      'Look for damage: whether all that is referred to is there and fits together; with --deep, every stored byte against its hash. ' +
        'Names the files and commits that damage touches. The server goes on meanwhile; with --data, of a store that is not running. ' +
        'Exits with 0 if nothing is damaged, 1 if something is, 2 if it could not be found out. --json prints a line of JSON for each event.',
    )
    .option('--deep', 'read and hash all content, and compare every index with its table')
    .option('--repair', 'mend what can be made again from what is sound, and check again; nothing is removed')
    .option('--data <folder>', 'check the store in this data folder, which no server may be running on')
    .action(async (options: FsckCommandOptions) => {
      let verdict: FsckVerdictJson | undefined
      try {
        for await (const line of await eventsOf(session, options)) {
          if (options.json) print(session, `${JSON.stringify(line)}\n`)
          else show(session, line)
          if (line.kind === 'verdict') verdict = line
        }
      } catch (error) {
        const running = error instanceof ApiError && error.code === 'StoreLocked'
        const hint = running ? '; without --data, its server is asked' : ''
        throw new NotChecked(`${errorMessage(error)}${hint}`, { cause: error })
      } finally {
        clear(session)
      }
      if (verdict === undefined || verdict.verdict === 'stopped') {
        throw new NotChecked('the check has not come to its end: try again')
      }
      if (verdict.verdict === 'damaged') session.exitCode = 1
      if (!options.json) showVerdict(session, options, verdict)
    })
  withJson(program.command('stats').description('show how much there is of what in the store')).action(
    async (options: JsonOption) => {
      const stats = await (await session.api()).get<StatsJson>('/v1/stats')
      if (options.json) return printJson(session, stats)
      showStats(session, stats)
    },
  )
}

async function eventsOf(session: Session, options: FsckCommandOptions): Promise<AsyncIterable<FsckJson>> {
  const wanted = { deep: options.deep === true, repair: options.repair === true }
  if (options.data === undefined) return (await session.api()).lines<FsckJson>('POST', '/v1/fsck', wanted)
  return offlineLines<FsckJson>(session, 'offline-fsck', { ...wanted, dataFolder: resolve(options.data) })
}

function show(session: Session, line: FsckJson): void {
  if (line.kind === 'fault') {
    clear(session)
    print(session, describe(line.fault))
  } else if (line.kind === 'mended') {
    clear(session)
    print(session, `mended   ${printable(line.message)}\n`)
  } else if (line.kind === 'progress' && session.stderr.isTTY) {
    const { counts, bytesPerSecond } = line
    const hashed = counts.hashedBytes > 0 ? `, ${humanSize(counts.hashedBytes)} hashed` : ''
    const rate = bytesPerSecond === undefined ? '' : `, ${humanSize(bytesPerSecond)}/s`
    const done = `${counts.nodes} nodes, ${counts.chunks} chunks${hashed}${rate}, ${line.faults} faults`
    session.stderr.write(`\rchecking ${phases[line.phase]}: ${done}\x1b[K`)
  }
}

function describe({ severity, message, touched }: FaultJson): string {
  const lines = [`${severity === 'damage' ? 'damaged' : 'note   '}  ${printable(message)}`]
  if (touched) {
    for (const { repo, path, version } of touched.paths) {
      lines.push(`           ${printable(`${repo}:${path}`)}${version === undefined ? '' : ` (version ${version})`}`)
    }
    const more = touched.pathsTotal - touched.paths.length
    if (more > 0) lines.push(`           and ${more} more files`)
    const holders = touched.holders.map(({ repo, branch, commit }) =>
      commit === undefined ? `${repo}@${branch}` : `${repo}@${commit.slice(0, 12)} (${branch})`,
    )
    if (holders.length > 0) {
      const others = touched.holdersTotal - holders.length
      lines.push(`           in ${printable(holders.join(', '))}${others > 0 ? ` and ${others} more` : ''}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function showVerdict(session: Session, options: FsckCommandOptions, verdict: FsckVerdictJson): void {
  const { counts, faults, untold, mended, elapsedMs, bytesPerSecond } = verdict
  const looked = [
    `${counts.commits} commits`,
    `${counts.nodes} nodes`,
    `${counts.files} files`,
    `${counts.versions} versions`,
    `${counts.chunks} chunks in ${counts.packs} packs`,
    ...(counts.hashedBytes > 0 ? [`${humanSize(counts.hashedBytes)} hashed`] : []),
    ...(bytesPerSecond === undefined ? [] : [`${humanSize(bytesPerSecond)}/s`]),
  ]
  note(session, `${looked.join(', ')} in ${(elapsedMs / 1000).toFixed(1)} s`)
  if (untold > 0) note(session, `${untold} more faults are not named`)
  if (mended > 0) note(session, `${mended} mended`)
  if (verdict.verdict === 'clean') {
    print(session, 'nothing is damaged\n')
    return
  }
  print(session, `${faults} damaged; nothing of it is served\n`)
  if (!options.repair) note(session, 'sluice fsck --repair mends what can be made again; else restore a backup')
}

function showStats(session: Session, stats: StatsJson): void {
  const rows = stats.repos.map((item) => [
    item.repo,
    String(item.branches),
    String(item.commits),
    String(item.files),
    humanSize(item.bytes),
    humanSize(item.historyBytes),
  ])
  print(session, table(['REPO', 'BRANCHES', 'COMMITS', 'FILES', 'SIZE', 'ALL COMMITS'], rows))
  const { chunks, packs, nodes, metadata } = stats
  const ratio = (value: number | undefined) => (value === undefined ? '' : `, ${value.toFixed(2)} times what is stored`)
  const doomed = chunks.doomed > 0 ? `, ${humanSize(chunks.doomedBytes)} of it unused and going` : ''
  print(
    session,
    `
heads      ${stats.files} files, ${humanSize(stats.bytes)}${ratio(stats.headRatio)}
history    ${stats.commits} commits, ${stats.versions} versions, ${humanSize(stats.historyBytes)}${ratio(stats.historyRatio)}
content    ${chunks.count} chunks, ${humanSize(chunks.bytes)}${doomed}
packs      ${packs.count}, ${humanSize(packs.fileBytes)}
trees      ${nodes.count} nodes, ${humanSize(nodes.fileBytes)}
metadata   ${humanSize(metadata.fileBytes)}, and ${humanSize(metadata.logBytes)} of log
`,
  )
}

function clear(session: Session): void {
  if (session.stderr.isTTY) session.stderr.write('\r\x1b[K')
}
