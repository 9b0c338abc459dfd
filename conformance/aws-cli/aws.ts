/** The AWS CLI as a suite uses it: version 1 and version 2, side by side where both are on the PATH. */
import { delimiter, join } from 'node:path'
import { findClient } from '../shared/clients.ts'
import type { Bench, RunOptions } from '../support.ts'

export interface AwsClient {
  /** Its name and release, for the title of the suite. */
  readonly title: string
  readonly command: string
  readonly major: number
  readonly minor: number
  /** Why its suite is left out, or undefined. */
  readonly missing: string | undefined
}

/** From here on the CLI computes checksums by default, and knows the options of conditional writes. */
const MODERN_MINOR: Readonly<Record<number, number>> = { 1: 37, 2: 23 }
/** From here on it reads AWS_ENDPOINT_URL. */
const ENDPOINT_MINOR: Readonly<Record<number, number>> = { 1: 29, 2: 13 }

const atLeast = ({ major, minor }: AwsClient, since: Readonly<Record<number, number>>) => minor >= (since[major] ?? 0)

export const isModern = (client: AwsClient): boolean => atLeast(client, MODERN_MINOR)

/** The first of version 1 and the first of version 2 that are on the PATH; one that is not there says why. */
export async function findAws(): Promise<readonly AwsClient[]> {
  const found = new Map<number, AwsClient>()
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const command = join(folder, 'aws')
    const { title, missing } = await findClient(command, '--version')
    const [, major = '', minor = ''] = /(\d+)\.(\d+)/.exec(title.slice(command.length)) ?? []
    if (missing || found.has(Number(major))) continue
    const name = `aws ${title.slice(command.length + 1)}`
    found.set(Number(major), { title: name, command, major: Number(major), minor: Number(minor), missing })
  }
  return [1, 2].map((major) => {
    const missing = `no aws of version ${major} is installed`
    return found.get(major) ?? { title: `aws ${major}`, command: 'aws', major, minor: 0, missing }
  })
}

/** The one that a suite takes for which the version makes no difference. */
export async function findAnyAws(): Promise<AwsClient> {
  const [first, second] = await findAws()
  if (!first || !second) throw new Error('there is no version to look for')
  return first.missing ? second : first
}

export function awsOn(bench: Bench, client: AwsClient) {
  // What goes wrong is shown at once instead of being tried again.
  const environment = { ...bench.server.clientEnvironment, AWS_MAX_ATTEMPTS: '1' }
  const where = atLeast(client, ENDPOINT_MINOR) ? [] : ['--endpoint-url', bench.server.s3Url]
  const words = (line: string, more: readonly string[]) => [...where, ...line.split(' '), ...more]
  const run = (args: readonly string[], options: Partial<RunOptions> = {}) =>
    bench.ok(client.command, args, { environment, ...options })
  return {
    /** `aws …`, expected to succeed; words are split at spaces, further arguments are taken as they are. */
    aws: (line: string, ...more: string[]) => run(words(line, more)),
    /** The same with something to read. */
    piped: (input: Buffer | string, line: string, ...more: string[]) => run(words(line, more), { input }),
    /** The same, its JSON output read. */
    json: async <T = Record<string, unknown>>(line: string, ...more: string[]): Promise<T> => {
      const said = await run([...words(line, more), '--output', 'json'])
      return (said.trim() === '' ? {} : JSON.parse(said)) as T
    },
    refused: (line: string, ...more: string[]) => bench.fails(client.command, words(line, more), { environment }),
    /** With other settings: a wrong secret, a configuration file. */
    refusedWith: (extra: Record<string, string>, line: string) =>
      bench.fails(client.command, words(line, []), { environment: { ...environment, ...extra } }),
    awsWith: (extra: Record<string, string>, line: string, ...more: string[]) =>
      run(words(line, more), { environment: { ...environment, ...extra } }),
  }
}
