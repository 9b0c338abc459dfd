/** rclone as a suite uses it: the remote `sluice:` of its guide. */
import { writeFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, findClient } from '../shared/clients.ts'
import { guideFile } from '../shared/guides.ts'
import type { Bench } from '../support.ts'

export const findRclone = (): Promise<Client> => findClient('rclone', 'version')

export function rcloneOn(bench: Bench) {
  writeFileSync(join(bench.folder, 'rclone.conf'), guideFile('rclone', '~/.config/rclone/rclone.conf', bench.server))
  const environment: Record<string, string> = {
    ...bench.server.clientEnvironment,
    RCLONE_CONFIG: join(bench.folder, 'rclone.conf'),
    // Whatever it does is shown at once instead of being tried again for minutes.
    RCLONE_RETRIES: '1',
    RCLONE_LOW_LEVEL_RETRIES: '1',
  }
  const options = { environment }
  return {
    environment,
    /** `rclone …`, expected to succeed; words are split at spaces, further arguments are taken as they are. */
    rclone: (line: string, ...more: string[]) => bench.ok('rclone', [...line.split(' '), ...more], options),
    /** The same with something to read. */
    piped: (input: Buffer | string, line: string) => bench.ok('rclone', line.split(' '), { ...options, input }),
    refused: (line: string, ...more: string[]) => bench.fails('rclone', [...line.split(' '), ...more], options),
    json: async <T>(line: string): Promise<T> => JSON.parse(await bench.ok('rclone', line.split(' '), options)),
    /** The log of a run that succeeded, with a line for each file it did something to. */
    logged: async (line: string) => {
      const log = join(bench.folder, 'rclone.log')
      await rm(log, { force: true })
      await bench.ok('rclone', [...line.split(' '), '-v', '--stats=0', `--log-file=${log}`], options)
      return readFile(log, 'utf8')
    },
  }
}
