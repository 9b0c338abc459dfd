import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Command } from 'commander'
import type { DeletedJson, FileJson, FilesJson, WrittenJson } from '../../api/contract.ts'
import { contentTypeOf, errnoOf, errorMessage } from '../../kernel/index.ts'
import { parseAddress, parseFile, parseTarget } from '../address.ts'
import { type ApiClient, apiPath, queryString } from '../client.ts'
import { CliError, UsageError } from '../errors.ts'
import { ago, details, humanSize } from '../format.ts'
import { collectFolder, ensureBranch, folderPrefix, type LeftOut, type LocalFile, statLocal } from '../local-files.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'
import { downloadTo, eachAtOnce, localPath, progressOf, saveFile, sha256OfFile, uploadStream } from '../transfer.ts'

interface PutOptions extends JsonOption {
  readonly file?: readonly string[]
  readonly recursive?: boolean
}

interface GetOptions {
  readonly output?: string
  readonly recursive?: boolean
}

export function addFileCommands(program: Command, session: Session): Command {
  const file = program.command('file').description('files of a commit or branch')
  withJson(file.command('put <repo@branch[:path]>'))
    .summary('write files to a branch')
    .description('Write files to a branch. Without -f the content is read from standard input.')
    .option('-f, --file <path...>', 'local files or, with -r, folders')
    .option('-r, --recursive', 'everything in the folders')
    .action((address: string, options: PutOptions) => putFiles(session, address, options))
  file
    .command('get <repo@revision:path>')
    .summary('read a file')
    .description(
      'Read a file to standard output or, with -o, to a local file; with -r everything below a path to a folder.',
    )
    .option('-o, --output <path>', 'local file, or folder with -r')
    .option('-r, --recursive', 'everything below the path')
    .action((address: string, options: GetOptions) => getFiles(session, address, options))
  withJson(file.command('list <repo@revision[:path]>').description('list files'))
    .option('-r, --recursive', 'everything below, without folders')
    .action((address: string, options: JsonOption & { recursive?: boolean }) => listFiles(session, address, options))
  file
    .command('delete <repo@branch:path>')
    .description('delete a file from a branch')
    .action(async (address: string) => {
      const { repo, branch, path } = parseTarget(address)
      if (path === undefined) throw new UsageError(`${address} names no file: write repo@branch:path`)
      const api = await session.api()
      const deleted = await api.delete<DeletedJson>(fileOnBranch(repo, branch, path))
      if (!deleted.existed) throw new CliError(`there was no file ${path} in ${repo}@${branch}`)
    })
  withJson(file.command('inspect <repo@revision:path>').description('show a file')).action(
    async (address: string, options: JsonOption) => {
      const { repo, revision, path } = parseFile(address)
      const query = queryString({ path })
      const found = await (await session.api()).get<FileJson>(
        apiPath`/v1/repos/${repo}/commits/${revision}/file` + query,
      )
      if (options.json) return printJson(session, found)
      print(session, details(describeFile(found, session.now())))
    },
  )
  return file
}

function describeFile(file: FileJson, nowMs: number): [string, string][] {
  const pairs: [string, string][] = [
    ['Path', file.path],
    ['Size', `${humanSize(file.sizeBytes)} (${file.sizeBytes} bytes)`],
    ['Type', file.contentType],
    ['ETag', file.etag],
    ['Modified', `${ago(file.modified, nowMs)} (${file.modified})`],
    ['Version', file.version],
    ...Object.entries(file.metadata).map(([name, value]): [string, string] => [`Metadata ${name}`, value]),
  ]
  if (file.origin) pairs.push(['Job', file.origin.job], ['Datum', file.origin.datum])
  return pairs
}

function fileOnBranch(repo: string, branch: string, path: string): string {
  return apiPath`/v1/repos/${repo}/branches/${branch}/file` + queryString({ path })
}

async function putFiles(session: Session, address: string, options: PutOptions): Promise<void> {
  const { repo, branch, path } = parseTarget(address)
  if (options.file === undefined && (path === undefined || path.endsWith('/'))) {
    throw new UsageError(`standard input needs a name: write ${repo}@${branch}:PATH, or give files with -f`)
  }
  const leftOut = ({ name, why }: LeftOut) => note(session, `left out: ${JSON.stringify(name)} ${why}`)
  const files = options.file === undefined ? [] : await collect(options.file, path, options.recursive ?? false, leftOut)
  const api = await session.api()
  await ensureBranch(api, repo, branch)
  const written = new Map<string, WrittenJson>()
  const bytes = files.reduce((sum, file) => sum + file.size, 0)
  const label = files.length === 1 ? files[0]!.source : `${files.length} files`
  const progress = progressOf(session, label, options.file === undefined ? undefined : bytes)
  try {
    if (options.file === undefined) {
      const upload = { stream: session.stdin, size: undefined, sha256: undefined, contentType: contentTypeOf(path!) }
      written.set(path!, await uploadStream(api, fileOnBranch(repo, branch, path!), upload, path!, progress))
    }
    await eachAtOnce(files, async ({ source, path, size }) => {
      const sha256 = await sha256OfFile(source)
      const upload = { stream: createReadStream(source), size, sha256, contentType: contentTypeOf(path) }
      written.set(path, await uploadStream(api, fileOnBranch(repo, branch, path), upload, source, progress))
    })
  } finally {
    progress.end()
  }
  if (options.json) printJson(session, [...written.values()])
}

async function collect(
  sources: readonly string[],
  target: string | undefined,
  recursive: boolean,
  onLeftOut: (left: LeftOut) => void,
): Promise<readonly LocalFile[]> {
  const files: LocalFile[] = []
  const single = sources.length === 1
  for (const source of sources) {
    const info = await statLocal(source)
    if (info.isDirectory()) {
      if (!recursive) throw new UsageError(`${source} is a folder: give -r to write everything in it`)
      files.push(...(await collectFolder(source, folderPrefix(target), onLeftOut)))
    } else if (info.isFile()) {
      const asNamed = single && target !== undefined && !target.endsWith('/')
      files.push({
        source,
        path: asNamed ? target : folderPrefix(target) + basename(source),
        size: info.size,
        mtimeMs: info.mtimeMs,
      })
    } else throw new CliError(`${source} is neither a file nor a folder`)
  }
  if (files.length === 0) throw new CliError(`there are no files in ${sources.join(', ')}`)
  return files
}

async function getFiles(session: Session, address: string, options: GetOptions): Promise<void> {
  if (options.recursive) return getFolder(session, address, options.output)
  const { repo, revision, path } = parseFile(address)
  const api = await session.api()
  const source = apiPath`/v1/repos/${repo}/commits/${revision}/content` + queryString({ path })
  if (options.output === undefined) return downloadTo(session, api, source, path)
  const target = await localTarget(options.output, path)
  const download = await api.download(source)
  const progress = progressOf(session, path, download.size)
  try {
    await saveFile(download, target, progress)
  } finally {
    progress.end()
  }
}

async function getFolder(session: Session, address: string, output: string | undefined): Promise<void> {
  const { repo, revision, path = '' } = parseAddress(address)
  if (revision === undefined) throw new UsageError(`${address} names no branch or commit: write ${repo}@REVISION`)
  if (output === undefined) throw new UsageError('with -r, name the folder to write to with -o')
  const prefix = path === '' ? '' : folderPrefix(path)
  const api = await session.api()
  const progress = progressOf(session, address, undefined)
  let count = 0
  try {
    await eachAtOnce(walk(api, repo, revision, prefix), async ({ commit, file }) => {
      // Folder markers have no content, and no file can have their name.
      if (file.path.endsWith('/')) return
      const source = apiPath`/v1/repos/${repo}/commits/${commit}/content` + queryString({ path: file.path })
      const target = localPath(output, file.path.slice(prefix.length))
      await saveFile(await api.download(source), target, progress)
      count++
    })
  } finally {
    progress.end()
  }
  if (count === 0) throw new CliError(`there are no files below ${address}`)
}

/** A folder gets the file under its own name. */
async function localTarget(output: string, path: string): Promise<string> {
  const info = await stat(output).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw new CliError(`${output} can't be written: ${errorMessage(error)}`, { cause: error })
  })
  return info?.isDirectory() ? localPath(output, basename(path)) : output
}

/** Every file below a prefix; all pages are of the one commit that the revision meant when the first was read. */
async function* walk(
  api: ApiClient,
  repo: string,
  revision: string,
  prefix: string,
): AsyncGenerator<{ commit: string; file: FileJson }> {
  let at = revision
  let after: string | undefined
  for (;;) {
    const page = await filesPage(api, repo, at, { prefix, after })
    for (const file of page.files) yield { commit: page.commit, file }
    if (page.next === null) return
    at = page.commit
    after = page.next
  }
}

function filesPage(
  api: ApiClient,
  repo: string,
  revision: string,
  query: { prefix: string; after?: string | undefined; delimiter?: string },
): Promise<FilesJson> {
  const { prefix, ...rest } = query
  const text = queryString({ ...rest, prefix: prefix || undefined })
  return api.get<FilesJson>(apiPath`/v1/repos/${repo}/commits/${revision}/files` + text)
}

interface Item {
  readonly path: string
  readonly type: 'file' | 'dir'
  readonly sizeBytes: number
  readonly modified: string | undefined
}

async function listFiles(
  session: Session,
  address: string,
  options: JsonOption & { recursive?: boolean },
): Promise<void> {
  const { repo, revision, path } = parseAddress(address)
  if (revision === undefined) throw new UsageError(`${address} names no branch or commit: write ${repo}@REVISION`)
  const api = await session.api()
  const delimiter = options.recursive ? undefined : '/'
  let found = await readItems(api, repo, revision, path === undefined ? '' : folderPrefix(path), delimiter)
  if (found.length === 0 && path !== undefined && !path.endsWith('/')) {
    const at = apiPath`/v1/repos/${repo}/commits/${revision}/file`
    found = [{ ...(await api.get<FileJson>(at + queryString({ path }))), type: 'file' }]
  }
  printList(session, options, found, [
    ['NAME', (item) => item.path],
    ['TYPE', (item) => item.type],
    ['MODIFIED', (item) => (item.modified === undefined ? '-' : ago(item.modified, session.now()))],
    ['SIZE', (item) => humanSize(item.sizeBytes)],
  ])
}

async function readItems(
  api: ApiClient,
  repo: string,
  revision: string,
  prefix: string,
  delimiter: string | undefined,
): Promise<Item[]> {
  const items: Item[] = []
  let at = revision
  let after: string | undefined
  for (;;) {
    const page = await filesPage(api, repo, at, { prefix, after, ...(delimiter !== undefined && { delimiter }) })
    const folders = page.directories.map((folder): Item => ({ ...folder, type: 'dir', modified: undefined }))
    const files = page.files.map((file): Item => ({ ...file, type: 'file' }))
    // Each page's two lists are in order, and so are the pages.
    items.push(...[...folders, ...files].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path))))
    if (page.next === null) return items
    at = page.commit
    after = page.next
  }
}
