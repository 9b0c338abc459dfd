import type { Command } from 'commander'
import type { PlacedJson } from '../../api/contract.ts'
import { parseAddress, parseTarget } from '../address.ts'
import { apiPath } from '../client.ts'
import { ApiError, CliError, UsageError } from '../errors.ts'
import { humanSize } from '../format.ts'
import { type JsonOption, print, printJson, type Session, withJson } from '../session.ts'
import { work } from '../work.ts'

interface PlaceOptions extends JsonOption {
  readonly force?: boolean
  readonly message?: string
  readonly recursive?: boolean
}

/** Moving and copying within Sluice: beside the other commands about files. */
export function addPlaceCommands(file: Command, session: Session): void {
  withJson(file.command('mv <repo@branch:from> <repo@branch:to>'))
    .summary('move a file or folder within a branch')
    .description(
      'Move a file, or a folder (a path that ends in /), within a branch: one commit, all of it or nothing, and no content is moved. ' +
        'What the branch has gathered is part of it.',
    )
    .option('-f, --force', 'replace files that are there')
    .option('-m, --message <text>', 'what the commit is about')
    .action((from: string, to: string, options: PlaceOptions) => moveFiles(session, from, to, options))
  withJson(file.command('cp <repo@revision[:from]> <repo@branch:to>'))
    .summary('copy a file or folder of any commit to a branch')
    .description(
      'Copy a file, or with -r a folder or everything, of any commit, branch or repo to a branch: one commit, all of it or nothing, and no ' +
        'content is copied.',
    )
    .option('-r, --recursive', 'a folder, with everything in it')
    .option('-f, --force', 'replace files that are there')
    .option('-m, --message <text>', 'what the commit is about')
    .action((from: string, to: string, options: PlaceOptions) => copyFiles(session, from, to, options))
}

async function moveFiles(session: Session, source: string, target: string, options: PlaceOptions): Promise<void> {
  const from = parseTarget(source)
  const to = parseTarget(target)
  if (from.repo !== to.repo || from.branch !== to.branch) {
    throw new UsageError(
      `files are moved within a branch: copy them to ${to.repo}@${to.branch} with \`file cp -r\`, then delete them here`,
    )
  }
  if (from.path === undefined)
    throw new UsageError(`${source} names no file or folder: write ${from.repo}@${from.branch}:PATH`)
  const path = placedPath(from.path, to.path)
  const body = { from: from.path, to: path, ...flagsOf(options) }
  const url = apiPath`/v1/repos/${to.repo}/branches/${to.branch}/files/move`
  const moved = work<PlacedJson>(session, await session.api(), url, body)
  report(session, options, 'moved', await moved.catch((error: unknown) => Promise.reject(orFolder(error, from))))
}

async function copyFiles(session: Session, source: string, target: string, options: PlaceOptions): Promise<void> {
  const { repo, revision, path: from = '' } = parseAddress(source)
  if (revision === undefined) throw new UsageError(`${source} names no branch or commit: write ${repo}@REVISION`)
  const to = parseTarget(target)
  const isFolder = from === '' || from.endsWith('/')
  if (isFolder && !options.recursive) throw new UsageError(`${source} is a folder: give -r to copy everything in it`)
  const folder = options.recursive && !isFolder ? `${from}/` : from
  const body = { source: `${repo}@${revision}`, from: folder, to: placedPath(folder, to.path), ...flagsOf(options) }
  const url = apiPath`/v1/repos/${to.repo}/branches/${to.branch}/files/copy`
  report(session, options, 'copied', await work<PlacedJson>(session, await session.api(), url, body))
}

/** A folder is moved by a path that ends in a slash; without one, a file of that name is meant. */
function orFolder(error: unknown, { repo, branch, path = '' }: ReturnType<typeof parseTarget>): unknown {
  if (!(error instanceof ApiError) || error.code !== 'PathNotFound' || path.endsWith('/')) return error
  return new CliError(`${error.message}; a folder ends in a slash: ${repo}@${branch}:${path}/`, { cause: error })
}

/** A folder goes to the folder that is named; a file into it, under its own name. */
function placedPath(from: string, to = ''): string {
  if (from === '' || from.endsWith('/')) return to === '' || to.endsWith('/') ? to : `${to}/`
  return to === '' || to.endsWith('/') ? to + from.slice(from.lastIndexOf('/') + 1) : to
}

function flagsOf({ force, message }: PlaceOptions): { force?: true; message?: string } {
  return { ...(force && { force }), ...(message !== undefined && { message }) }
}

function report(session: Session, options: JsonOption, what: string, placed: PlacedJson): void {
  const { commit, files, sizeBytes } = placed
  if (options.json) printJson(session, placed)
  else
    print(session, `${what} ${files} ${files === 1 ? 'file' : 'files'}, ${humanSize(sizeBytes)}: commit ${commit.id}\n`)
}
