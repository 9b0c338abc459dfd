import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runChild } from './child.ts'
import type { Runner, RunRequest, RunResult } from './runner.ts'
import { isInside, outermost, placesToHide, type SystemView } from './visible.ts'

export interface SandboxOptions {
  /** Absolute path of the tool. */
  readonly tool: string
  readonly system: SystemView
  /** Shown beside what a request names: the folder of node, and what the operator allowed. */
  readonly alwaysReadable: readonly string[]
  /** Never shown, whatever contains it. */
  readonly hidden: string
  readonly defaults: { readonly PATH: string; readonly HOME: string }
}

/**
 * As root, user code gets the id of nobody in a user namespace of its own; the kernel's root outside stays the owner of what it
 * writes. Where the kernel does not allow that namespace, the other namespaces still hold.
 */
export type UserNamespace = 'nobody' | 'same' | 'none'

/**
 * A shell as process 1 of the sandbox, which the user's command is a child of: when the shell ends, the kernel kills all that is
 * left before bubblewrap is told, so that nobody writes into `out` while it is collected.
 */
export const PROCESS_ONE = '"$@"; exit $?'

/** Own mounts, processes, network, users, host name; system folders read-only; an environment of its own. */
export function bubblewrapRunner(options: SandboxOptions & { readonly users: UserNamespace }): Runner {
  return {
    name: 'process in a bubblewrap sandbox',
    sandboxed: true,
    pfsRoot: () => '/pfs',
    async run(request): Promise<RunResult> {
      const workingDir = request.workingDir ?? '/'
      await prepareTmp(request)
      const end = await runChild(
        {
          file: options.tool,
          args: ['--args', '3', '--json-status-fd', '4', '--', '/bin/sh', '-c', PROCESS_ONE, 'sh', ...request.cmd],
          env: {},
          argsOnFd3: await sandboxArgs(options, request, workingDir),
          statusOnFd4: true,
        },
        request,
      )
      if (end.kind === 'not-started') return { kind: 'not-started', reason: `the sandbox did not start: ${end.reason}` }
      if (end.signal !== null) return { kind: 'killed', signal: end.signal }
      if (!end.status.includes('"exit-code"') && end.code !== 0) {
        return { kind: 'not-started', reason: 'the sandbox could not be set up; the log has what bubblewrap said' }
      }
      return { kind: 'exited', code: end.code ?? 1 }
    },
  }
}

/** Mount points inside the host's scratch folder have to be there before it is mounted. */
async function prepareTmp(request: RunRequest): Promise<void> {
  await mkdir(join(request.datumFolder, 'tmp'), { recursive: true })
}

async function sandboxArgs(
  options: SandboxOptions & { readonly users: UserNamespace },
  request: RunRequest,
  workingDir: string,
) {
  const { system, hidden } = options
  const extra = outermost([...options.alwaysReadable, ...request.readable]).filter(
    (path) => !system.folders.some((folder) => isInside(path, folder)) && !isInside(path, '/pfs'),
  )
  const args = [
    ...namespaceArgs(options.users),
    '--die-with-parent',
    '--new-session',
    '--as-pid-1',
    '--cap-drop',
    'ALL',
    '--clearenv',
  ]
  for (const path of system.folders) args.push('--ro-bind-try', path, path)
  for (const { path, target } of system.links) args.push('--symlink', target, path)
  args.push('--proc', '/proc', '--dev', '/dev', '--bind', join(request.datumFolder, 'tmp'), '/tmp')
  for (const path of extra) args.push('--ro-bind', path, path)
  for (const place of await placesToHide([...system.folders, ...extra], hidden))
    args.push('--tmpfs', place, '--remount-ro', place)
  const pfs = join(request.datumFolder, 'pfs')
  args.push('--ro-bind', pfs, '/pfs', '--bind', join(pfs, 'out'), '/pfs/out')
  if (!isShown(workingDir, [...system.folders, ...extra])) args.push('--dir', workingDir)
  args.push('--remount-ro', '/', '--chdir', workingDir)
  const env = { ...options.defaults, ...request.env, SLUICE_PFS: '/pfs' }
  for (const [name, value] of Object.entries(env)) args.push('--setenv', name, value)
  return args
}

function isShown(path: string, shown: readonly string[]): boolean {
  return ['/', '/tmp'].includes(path) || [...shown, '/pfs', '/proc', '/dev'].some((folder) => isInside(path, folder))
}

function namespaceArgs(users: UserNamespace): string[] {
  if (users === 'nobody') return ['--unshare-all', '--unshare-user', '--uid', '65534', '--gid', '65534']
  if (users === 'same') return ['--unshare-all', '--unshare-user']
  return ['--unshare-all']
}
