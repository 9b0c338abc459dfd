/** A Sluice that pushes, as the suites of this folder use it: by its command line. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { repository } from '../server.ts'
import { type Bench, openBench } from '../support.ts'
import type { Store } from './stores.ts'

/** What `sluice job list --json` says of a job's push. */
export interface JobPush {
  readonly id: string
  readonly state: string
  readonly reason?: string
  readonly egress?: {
    readonly state: string
    readonly reason?: string
    readonly filesDone: number
    readonly filesSkipped: number
    readonly filesDeleted: number
  }
}

export interface Pushing extends Bench {
  /** Keeps a store's credentials under a name. */
  keepSecret(name: string, secret: Store['secret'], verb?: 'create' | 'update'): Promise<void>
  /** The `sluice` command, expected to fail; all it said. */
  sluiceFails(args: readonly string[]): Promise<string>
  /** Creates a pipeline whose spec has this `egress`; what the command said. */
  createPipeline(name: string, egress: object, more?: object): Promise<string>
  newestJob(pipeline: string): Promise<JobPush>
}

/** Starts one that may reach these stores. */
export async function openPushing(
  stores: readonly Pick<Store, 'host'>[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Pushing> {
  const allowed = stores.map(({ host }) => host).join(',')
  const bench = await openBench({ ...(allowed && { SLUICE_ALLOW_TARGETS: allowed }), ...settings })
  const cli = join(repository, 'bin/sluice.js')
  const pushing: Pushing = {
    ...bench,
    keepSecret: async (name, { options, input }, verb = 'create') => {
      await bench.ok(process.execPath, [cli, 'secret', verb, name, ...options], { input: `${input}\n` })
    },
    sluiceFails: (args) => bench.fails(process.execPath, [cli, ...args]),
    createPipeline: async (name, egress, more = {}) => {
      const file = join(bench.folder, `${name}.json`)
      await writeFile(file, JSON.stringify({ ...(await copies(bench)), pipeline: { name }, egress, ...more }))
      // Notes go to standard error.
      return bench.ok('sh', ['-c', '"$0" "$1" pipeline create -f "$2" 2>&1', process.execPath, cli, file])
    },
    newestJob: async (pipeline) => {
      const jobs = JSON.parse(await bench.sluice(['job', 'list', '--json'])) as (JobPush & { pipeline: string })[]
      const newest = jobs.find((job) => job.pipeline === pipeline)
      if (!newest) throw new Error(`${pipeline} has no job`)
      return newest
    },
  }
  return pushing
}

/** Without a sandbox there is no /pfs; then the runner says where it is instead. In the shell of the user code. */
const pfs = '$' + '{SLUICE_PFS:-/pfs}'

/** A pipeline that gives out its input as it is: what arrives can be compared with what was written. */
async function copies(bench: Bench) {
  const working_dir = join(bench.folder, 'code')
  await mkdir(working_dir, { recursive: true })
  return {
    transform: { cmd: ['sh', '-c', `cp -R "${pfs}/input/." "${pfs}/out/"`], working_dir },
    input: { pfs: { repo: 'input', glob: '/' } },
  }
}
