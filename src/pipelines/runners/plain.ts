import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runChild } from './child.ts'
import type { Runner, RunResult } from './runner.ts'
import { NO_SANDBOX } from './unshare.ts'

/** A child process in a group of its own, and `SLUICE_PFS` in place of `/pfs`: for systems that allow nothing better. */
export function plainRunner(options: {
  readonly defaults: { readonly PATH: string }
  readonly guard: readonly string[]
}): Runner {
  return {
    name: 'plain process (no sandbox, SLUICE_PFS in place of /pfs)',
    sandboxed: false,
    warning: `neither bubblewrap nor unshare can be used here: pipelines run as plain processes without a sandbox, and find their files in $SLUICE_PFS, not in /pfs; ${NO_SANDBOX}`,
    pfsRoot: (datumFolder) => join(datumFolder, 'pfs'),
    async run(request): Promise<RunResult> {
      const pfs = join(request.datumFolder, 'pfs')
      const tmp = join(request.datumFolder, 'tmp')
      await mkdir(tmp, { recursive: true })
      const workingDir = request.workingDir ?? '/'
      const cwd = /^\/pfs(\/|$)/.test(workingDir) ? pfs + workingDir.slice('/pfs'.length) : workingDir
      const [file = '', ...args] = [...options.guard, ...request.cmd]
      const env = { ...options.defaults, HOME: tmp, TMPDIR: tmp, ...request.env, SLUICE_PFS: pfs }
      const end = await runChild({ file, args, cwd, env }, request)
      if (end.kind === 'not-started')
        return { kind: 'not-started', reason: `${request.cmd[0]} could not be started: ${end.reason}` }
      if (end.signal !== null) return { kind: 'killed', signal: end.signal }
      return { kind: 'exited', code: end.code ?? 1 }
    },
  }
}
