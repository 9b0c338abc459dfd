import { access, constants, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Config, errorMessage, type Log } from '../../kernel/index.ts'
import { bubblewrapRunner, type SandboxOptions, type UserNamespace } from './bubblewrap.ts'
import { plainRunner } from './plain.ts'
import type { Runner } from './runner.ts'
import { unshareRunner } from './unshare.ts'
import { systemView } from './visible.ts'

/** From the best sandbox to none. */
export type ProcessMode = 'bubblewrap' | 'unshare' | 'plain'

const systemPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
const PROBE_MS = 10_000

/** Where commands are looked up: the node that runs Sluice first, so that `node` is the one it was tested with. */
export function searchPath(): readonly string[] {
  return [dirname(process.execPath), ...systemPath]
}

/**
 * The best way this machine has to run user code, found by really running `true` in each: bubblewrap, a mount namespace, a plain
 * child. `modes` narrows the choice. The ways that are no sandbox are warned about.
 */
export async function openProcessRunner(options: {
  config: Pick<Config, 'dataFolder' | 'sandboxPaths'>
  scratchFolder: string
  log: Log
  modes?: readonly ProcessMode[]
}): Promise<Runner> {
  const { config, log } = options
  const modes = options.modes ?? ['bubblewrap', 'unshare', 'plain']
  const failures: string[] = []
  const defaults = { PATH: searchPath().join(':'), HOME: '/tmp' }
  const guardTool = await findTool('setpriv')
  const guard = guardTool ? [guardTool, '--pdeathsig', 'KILL'] : []
  const shared = {
    system: await systemView(),
    alwaysReadable: [dirname(process.execPath), ...config.sandboxPaths],
    hidden: config.dataFolder,
    defaults,
  }
  for (const mode of modes) {
    for (const candidate of await candidates(mode, shared, guard)) {
      const failure = await probe(candidate, options.scratchFolder)
      if (failure === undefined) {
        if (candidate.warning) log.warn({ failures }, candidate.warning)
        else log.debug({ runner: candidate.name }, 'runner found')
        return candidate
      }
      failures.push(`${candidate.name}: ${failure}`)
    }
  }
  throw new Error(
    `no way to run user code was found: ${failures.join('; ') || `none of ${modes.join(', ')} is installed`}`,
  )
}

async function candidates(
  mode: ProcessMode,
  shared: Omit<SandboxOptions, 'tool'>,
  guard: readonly string[],
): Promise<readonly Runner[]> {
  const root = process.getuid?.() === 0
  if (mode === 'plain') return [plainRunner({ defaults: shared.defaults, guard })]
  const tool = await findTool(mode === 'bubblewrap' ? 'bwrap' : 'unshare')
  if (!tool) return []
  if (mode === 'unshare') return [unshareRunner({ ...shared, tool, asRoot: root, guard })]
  const users: readonly UserNamespace[] = root ? ['nobody', 'none'] : ['same', 'none']
  return users.map((namespace) => bubblewrapRunner({ ...shared, tool, users: namespace }))
}

/** Why it does not work, or undefined if it does. */
async function probe(runner: Runner, scratchFolder: string): Promise<string | undefined> {
  await mkdir(scratchFolder, { recursive: true })
  const datumFolder = await mkdtemp(join(scratchFolder, 'probe-'))
  let said = ''
  try {
    await mkdir(join(datumFolder, 'pfs', 'out'), { recursive: true })
    const result = await runner.run({
      cmd: ['true'],
      env: {},
      readable: [],
      datumFolder,
      signal: AbortSignal.timeout(PROBE_MS),
      onOutput: (_, bytes) => {
        said = (said + bytes.toString()).slice(-1_000)
      },
    })
    if (result.kind === 'exited' && result.code === 0) return undefined
    return [result.kind === 'not-started' ? result.reason : JSON.stringify(result), said.trim()]
      .filter(Boolean)
      .join(': ')
  } catch (error) {
    return errorMessage(error)
  } finally {
    await rm(datumFolder, { recursive: true, force: true })
  }
}

async function findTool(name: string): Promise<string | undefined> {
  for (const folder of systemPath) {
    const path = join(folder, name)
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return path
  }
  return undefined
}
