/** The AWS CLI as a suite uses it. */
import { type Bench, missingTool } from '../support.ts'

/** Undefined if it is there; version 1 and 2 both have the commands that are used. */
export const missingAws = () => missingTool('aws', ['--version'])

export function awsOn(bench: Bench) {
  const environment = bench.server.clientEnvironment
  return {
    /** `aws …`, expected to succeed; words are split at spaces, further arguments are taken as they are. */
    aws: (line: string, ...more: string[]) => bench.ok('aws', [...line.split(' '), ...more]),
    /** The same, its JSON output read. */
    json: async <T = Record<string, unknown>>(line: string, ...more: string[]): Promise<T> => {
      const said = await bench.ok('aws', [...line.split(' '), ...more, '--output', 'json'])
      return (said.trim() === '' ? {} : JSON.parse(said)) as T
    },
    refused: (line: string, ...more: string[]) => bench.fails('aws', [...line.split(' '), ...more]),
    /** With other settings: a wrong secret, a configuration file. */
    refusedWith: (extra: Record<string, string>, line: string) =>
      bench.fails('aws', line.split(' '), { environment: { ...environment, ...extra } }),
    awsWith: (extra: Record<string, string>, line: string) =>
      bench.ok('aws', line.split(' '), { environment: { ...environment, ...extra } }),
  }
}
