import type { Command } from 'commander'
import type { CommitJson, EgressJson, VerifiedJson, VerifyJson } from '../../api/contract.ts'
import { parseRevision } from '../address.ts'
import { type ApiClient, apiPath, queryString } from '../client.ts'
import { canMean } from '../egress-target.ts'
import { CliError } from '../errors.ts'
import { humanSize, printable } from '../format.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'

/** As many egresses of a repo as one answer of the API holds. */
const LOOKED_THROUGH = 1000

interface VerifyOptions extends JsonOption {
  readonly deep?: boolean
  readonly repair?: boolean
}

/** Adds `verify` to the group of egress commands. */
export function addVerifyCommand(egress: Command, session: Session): void {
  withJson(egress.command('verify <egress-or-repo@commit> [url]'))
    .summary('compare a target with what was put there')
    .description(
      'Compare what is at a target with what was put there, by this egress or newer ones: each file by size, and by checksum ' +
        'where the store says one. ' +
        'Exits with 1 if any is missing or other. Objects that are not ours are named and are no fault.',
    )
    .option('--deep', 'read every object back and compare its bytes')
    .option('--repair', 'send again what is missing or other')
    .action(async (what: string, url: string | undefined, options: VerifyOptions) => {
      const api = await session.api()
      const id = what.includes('@') || url !== undefined ? await findByTarget(session, api, what, url) : what
      const body = { deep: options.deep === true, repair: options.repair === true }
      const lines = api.lines<VerifyJson>('POST', apiPath`/v1/egress/${id}/verify`, body)
      const named: VerifyJson[] = []
      for await (const line of lines) {
        if (line.kind === 'verified') return finish(session, options, line, named)
        if (options.json) named.push(line)
        else print(session, `${printable(describe(line))}\n`)
      }
      throw new CliError('the comparison has not come to its end: try again')
    })
}

/** The newest egress of the commit to that URL. */
async function findByTarget(
  session: Session,
  api: ApiClient,
  address: string,
  url: string | undefined,
): Promise<string> {
  if (url === undefined) {
    throw new CliError(`where to? sluice egress verify ${address} URL; or give the id of an egress`)
  }
  const { repo, revision } = parseRevision(address)
  const { id: commit } = await api.get<CommitJson>(apiPath`/v1/repos/${repo}/commits/${revision}`)
  const found = await api.get<EgressJson[]>(`/v1/egress${queryString({ repo, limit: LOOKED_THROUGH })}`)
  const alike = found.filter((item) => item.commit === commit && canMean(url, item.url))
  const newest = alike.find((item) => item.url === url) ?? alike[0]
  const others = new Set(alike.map((item) => item.url))
  if (newest && (newest.url === url || others.size === 1)) {
    const since = found.slice(0, found.indexOf(newest)).find((item) => item.url === newest.url && item.attempts > 0)
    if (since && since.commit !== commit) {
      const later = `${repo}@${since.commit.slice(0, 12)}`
      note(session, `${later} was pushed there since (egress ${since.id}): compared is what has been put there by now`)
    }
    return newest.id
  }
  if (newest) throw new CliError(`${url} can be any of ${[...others].join(', ')}: say which`)
  throw new CliError(
    `${repo}@${commit.slice(0, 12)} was not pushed to ${url}: sluice egress list --repo ${repo} shows what was, and where to`,
  )
}

function describe(line: Exclude<VerifyJson, VerifiedJson>): string {
  if (line.kind === 'foreign') return `not ours  ${line.path} (${humanSize(line.size)})`
  return `${line.drift.padEnd(8)}  ${line.path}: ${line.why}`
}

function finish(session: Session, options: JsonOption, end: VerifiedJson, named: readonly VerifyJson[]): void {
  const drift = end.missing + end.changed
  if (drift > 0) session.exitCode = 1
  if (options.json) {
    printJson(session, { ...end, named })
    return
  }
  const parts = [
    `${end.files} file(s), ${humanSize(end.bytes)}`,
    drift === 0 ? 'all as they were put there' : `${end.missing} missing, ${end.changed} changed`,
    ...(end.unsent > 0 ? [`${end.unsent} not sent yet`] : []),
    ...(end.foreign > 0 ? [`${end.foreign} that are not ours`] : []),
    ...(end.unread > 0 ? [`${end.unread} whose content is not known any more, not read`] : []),
  ]
  print(session, `${parts.join('; ')}\n`)
  if (end.repair !== undefined) {
    note(session, `egress ${end.repair} sends them again: sluice egress inspect ${end.repair} --wait`)
  }
}
