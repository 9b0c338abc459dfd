import type { Readable, Writable } from 'node:stream'
import type { Command } from 'commander'
import type { CliConfig } from '../kernel/index.ts'
import { ApiClient } from './client.ts'
import { type Credentials, findCredentials, findServer, readIfThere } from './credentials.ts'
import { CliError } from './errors.ts'
import { table } from './format.ts'

/** What a command works with; the connection is made when it is first asked for, so that `env` needs none. */
export interface Session {
  readonly config: CliConfig
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Output
  readonly stderr: Output
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  now(): number
  api(): Promise<ApiClient>
  /** What the command ends with if nothing is thrown. */
  exitCode: number
}

/** A terminal, a file or a pipe. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number }

export interface JsonOption {
  readonly json?: boolean
}

/** What a session is opened with. */
export type Surroundings = Pick<Session, 'config' | 'stdin' | 'stdout' | 'stderr' | 'signal' | 'now'>

export function openSession(options: Surroundings): Session & { close(): void } {
  let client: ApiClient | undefined
  const connect = async (): Promise<ApiClient> => {
    const [key, { apiUrl }]: [Credentials, { apiUrl: string }] = await Promise.all([
      findCredentials(options.config),
      findServer(options.config),
    ])
    const { region, caFile } = options.config
    const ca = caFile === undefined ? {} : { ca: await readCa(caFile) }
    client ??= new ApiClient({ url: apiUrl, key, region, signal: options.signal, ...ca })
    return client
  }
  return { ...options, exitCode: 0, api: connect, close: () => client?.close() }
}

async function readCa(file: string): Promise<string> {
  const text = await readIfThere(file)
  if (text === undefined) throw new CliError(`SLUICE_CA=${file}: there is no such file`)
  return text
}

/** Adds `--json` to a command that shows something. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON for programs')
}

export function print(session: Session, text: string): void {
  session.stdout.write(text)
}

/** What is not a result (progress, notes) goes to standard error, so that results can be piped. */
export function note(session: Session, text: string): void {
  session.stderr.write(`${text}\n`)
}

export function printJson(session: Session, value: unknown): void {
  print(session, `${JSON.stringify(value, null, 2)}\n`)
}

/** A list: as an array of objects, or as a table. */
export function printList<T>(
  session: Session,
  options: JsonOption,
  items: readonly T[],
  columns: readonly (readonly [head: string, cell: (item: T) => string])[],
): void {
  if (options.json) {
    printJson(session, items)
    return
  }
  const head = columns.map(([name]) => name)
  print(
    session,
    table(
      head,
      items.map((item) => columns.map(([, cell]) => cell(item))),
    ),
  )
}
