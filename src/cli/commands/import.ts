import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Command } from 'commander'
import type { ImportedJson, ImportJson } from '../../api/contract.ts'
import { errorMessage } from '../../kernel/index.ts'
import { parseTarget } from '../address.ts'
import { apiPath, queryString, type Upload } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { collectFolder, ensureBranch, folderPrefix, type LeftOut } from '../local-files.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'
import { tarArchive } from '../tar.ts'
import { counting, progressOf, sha256OfFile } from '../transfer.ts'

const READ_BYTES = 512 * 1024
/** Left out things that are named, as many as the server names; the others are counted. */
const MAX_NAMED = 20

interface ImportCommandOptions extends JsonOption {
  readonly message?: string
  readonly skip?: boolean
  readonly times?: boolean
}

export function addImportCommand(program: Command, session: Session): void {
  withJson(program.command('import <repo@branch[:folder]> <source>'))
    .summary('make one commit of an archive or a folder')
    .description(
      'Make one commit of all files of a tar archive (plain, or compressed with gzip or zstd), of a folder, or with - of an archive from standard input: all of them or none. Prints the commit.',
    )
    .option('-m, --message <text>', 'what the commit is about')
    .option('--skip', 'leave out what can not be stored (links, devices), and name it')
    .option('--times', 'keep modification times, as metadata')
    .action((address: string, source: string, options: ImportCommandOptions) =>
      importArchive(session, address, source, options),
    )
}

async function importArchive(
  session: Session,
  address: string,
  source: string,
  options: ImportCommandOptions,
): Promise<void> {
  const { repo, branch, path } = parseTarget(address)
  const prefix = path === undefined ? undefined : folderPrefix(path)
  const { upload, bytes, leftOut } = await openSource(session, source, options.skip === true)
  const api = await session.api()
  await ensureBranch(api, repo, branch)
  const { message, skip, times } = options
  const at = apiPath`/v1/repos/${repo}/branches/${branch}/import` + queryString({ prefix, message, skip, times })
  const progress = progressOf(session, source === '-' ? 'standard input' : source, bytes)
  let imported: ImportedJson | undefined
  try {
    const stream = counting(upload.stream, (piece) => progress.add(piece.length))
    for await (const line of api.uploadForLines<ImportJson>(at, { ...upload, stream })) {
      progress.end()
      if (line.kind === 'imported') imported = line
      else if (session.stderr.isTTY) session.stderr.write(`\r${line.entries} of ${line.files} files\x1b[K`)
    }
  } finally {
    progress.end()
    if (session.stderr.isTTY) session.stderr.write('\r\x1b[K')
  }
  if (imported === undefined)
    throw new CliError('the server ended before it said what it made: look at `sluice commit list`')
  const skipped = [...leftOut, ...imported.skipped].slice(0, MAX_NAMED)
  const skippedTotal = leftOut.length + imported.skippedTotal
  for (const { name, why } of skipped) note(session, `left out: ${JSON.stringify(name)} ${why}`)
  const more = skippedTotal - skipped.length
  if (more > 0) note(session, `left out: ${more} more`)
  if (options.json) return printJson(session, { ...imported, skipped, skippedTotal })
  const { added, changed, unchanged } = imported
  note(session, `${imported.files} files: ${added} new, ${changed} changed, ${unchanged} as they were`)
  print(session, `${imported.commit.id}\n`)
}

/** `bytes`: of what is sent, where that is known. */
async function openSource(
  session: Session,
  source: string,
  skip: boolean,
): Promise<{
  readonly upload: Upload
  readonly bytes: number | undefined
  /** What of a folder never gets into the archive. */
  readonly leftOut: readonly LeftOut[]
}> {
  const leftOut: LeftOut[] = []
  const plain = { size: undefined, sha256: undefined, contentType: 'application/x-tar' }
  if (source === '-') return { upload: { ...plain, stream: session.stdin }, bytes: undefined, leftOut }
  const info = await stat(source).catch((cause: unknown) => {
    throw new CliError(`${source} can't be read: ${errorMessage(cause)}`, { cause })
  })
  if (info.isDirectory()) {
    const files = await collectFolder(source, '', (left) => {
      if (skip) leftOut.push(left)
      else throw new CliError(`${JSON.stringify(left.name)} in ${source} ${left.why}: --skip leaves such things out`)
    })
    if (files.length === 0) throw new CliError(`there are no files in ${source}`)
    const members = files.map(({ path, ...file }) => ({ ...file, name: path }))
    const bytes = files.reduce((sum, file) => sum + file.size, 0)
    return { upload: { ...plain, stream: Readable.from(tarArchive(members), { objectMode: false }) }, bytes, leftOut }
  }
  if (!info.isFile())
    throw new UsageError(`${source} is neither a file nor a folder; an archive from a pipe is read with -`)
  const sha256 = await sha256OfFile(source)
  const stream = createReadStream(source, { highWaterMark: READ_BYTES })
  return { upload: { ...plain, size: info.size, sha256, stream }, bytes: info.size, leftOut }
}
