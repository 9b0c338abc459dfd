import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PROCESS_ONE, type SandboxOptions } from './bubblewrap.ts'
import { runChild } from './child.ts'
import type { Runner, RunRequest, RunResult } from './runner.ts'
import { isInside, placesToHide } from './visible.ts'

/** Exit code by which the script says that it failed before the user's command ran. */
const SETUP_FAILED = 199

export const NO_SANDBOX =
  'user code can read what the server can read and reach the network: run only code that you trust'

/**
 * Mounts of its own, so that `/pfs` is where it belongs, and processes of its own, so that all of them end with the run. The rest of
 * the machine is there as it is: this is no sandbox.
 */
export function unshareRunner(
  options: SandboxOptions & { readonly asRoot: boolean; readonly guard: readonly string[] },
): Runner {
  return {
    name: 'process in a mount namespace (no sandbox)',
    sandboxed: false,
    warning: `bubblewrap can't be used here: pipelines run without a sandbox; ${NO_SANDBOX}`,
    pfsRoot: () => '/pfs',
    async run(request): Promise<RunResult> {
      const root = join(request.datumFolder, 'root')
      await mkdir(root, { recursive: true })
      await mkdir(join(request.datumFolder, 'tmp'), { recursive: true })
      const namespaces = [
        '--mount',
        '--pid',
        '--fork',
        '--kill-child',
        ...(options.asRoot ? [] : ['--user', '--map-root-user']),
      ]
      const env = { ...options.defaults, ...request.env, SLUICE_PFS: '/pfs' }
      const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`)
      const script = await mountScript(root, request, options)
      const [file = options.tool, ...guardArgs] = [...options.guard, options.tool]
      const end = await runChild(
        {
          file,
          args: [
            ...guardArgs,
            ...namespaces,
            '/bin/sh',
            '-c',
            script,
            'sh',
            ...settings,
            '/bin/sh',
            '-c',
            PROCESS_ONE,
            'sh',
            ...request.cmd,
          ],
          env: { PATH: options.defaults.PATH },
        },
        request,
      )
      if (end.kind === 'not-started')
        return { kind: 'not-started', reason: `the mount namespace did not start: ${end.reason}` }
      if (end.signal !== null) return { kind: 'killed', signal: end.signal }
      if (end.code === SETUP_FAILED)
        return { kind: 'not-started', reason: 'the mount namespace could not be set up; the log has what mount said' }
      return { kind: 'exited', code: end.code ?? 1 }
    },
  }
}

/** Builds a second root out of bind mounts, since `/` may not have a `/pfs` and may not let one be made. */
async function mountScript(
  root: string,
  request: RunRequest,
  { hidden, alwaysReadable }: Pick<SandboxOptions, 'hidden' | 'alwaysReadable'>,
): Promise<string> {
  const pfs = join(request.datumFolder, 'pfs')
  const at = (path: string) => quote(root + path)
  const workingDir = request.workingDir ?? '/'
  // The installation itself may lie there.
  const inTmp = [...alwaysReadable, ...request.readable].filter((path) => isInside(path, '/tmp'))
  const places = [
    ...(await placesToHide(['/'], hidden)).filter((place) => !isInside(place, '/tmp')),
    ...(await placesToHide(inTmp, hidden)),
  ]
  return `
set -e
trap 'exit ${SETUP_FAILED}' EXIT
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs ${quote(root)}
for entry in /* /.[!.]*; do
  [ "$entry" = /proc ] && continue
  [ "$entry" = /pfs ] && continue
  if [ -L "$entry" ]; then cp -P "$entry" ${quote(root)}"$entry"
  elif [ -d "$entry" ]; then mkdir ${quote(root)}"$entry"; mount --rbind "$entry" ${quote(root)}"$entry"
  fi
done
mkdir ${at('/proc')} ${at('/pfs')}
mount -t proc proc ${at('/proc')}
mount --bind ${quote(pfs)} ${at('/pfs')}
mount --bind ${quote(join(pfs, 'out'))} ${at('/pfs/out')}
mount -o remount,bind,ro ${at('/pfs')}
mount --bind ${quote(join(request.datumFolder, 'tmp'))} ${at('/tmp')}
${(await Promise.all(inTmp.map((path) => showInTmp(path, at)))).join('\n')}
${isInside(workingDir, '/tmp') ? `mkdir -p ${at(workingDir)}` : ''}
${places.map((place) => `mount -t tmpfs -o ro tmpfs ${at(place)}`).join('\n')}
trap - EXIT
exec chroot ${quote(root)} /bin/sh -c 'cd "$0" && exec env -i "$@"' ${quote(workingDir)} "$@"
`
}

async function showInTmp(path: string, at: (path: string) => string): Promise<string> {
  const folder = (await stat(path)).isDirectory()
  const place = folder ? `mkdir -p ${at(path)}` : `mkdir -p ${at(dirname(path))}; : > ${at(path)}`
  return `${place}; mount --bind ${quote(path)} ${at(path)}`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
