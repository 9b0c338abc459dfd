import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { mayBePath } from './code/index.ts'
import { isInside } from './runners/index.ts'
import type { Spec } from './spec/index.ts'

/** What every sandbox shows anyway, or has of its own. */
const commonFolders = ['/pfs', '/usr', '/bin', '/sbin', '/lib', '/lib64', '/opt']
const commonWorkingFolders = ['/pfs', '/tmp']

/**
 * Why this pipeline reaches further than its inputs and its output, or undefined: that is for administrators only. Host files count
 * by their names, whether they are there or not: a sandbox shows them when a job runs.
 */
export async function whyPrivileged(spec: Spec, sandboxed: boolean): Promise<string | undefined> {
  if (!sandboxed) return 'its code would run without a sandbox on this server'
  if (spec.egress !== undefined) return 'its egress uses credentials that belong to the server'
  const { cmd, errCmd = [], workingDir = '/' } = spec.transform
  if (workingDir !== '/' && !commonWorkingFolders.some((folder) => isInside(workingDir, folder))) {
    return `working_dir ${workingDir} is a folder of the server`
  }
  for (const command of [cmd, errCmd]) {
    for (const [index, argument] of command.entries()) {
      if (!mayBePath(argument, index)) continue
      const path = resolve(workingDir, argument)
      if (path === '/' || commonFolders.some((folder) => isInside(path, folder))) continue
      if (await isOnHost(path)) return `cmd names ${path}, which is a place on the server`
    }
  }
  return undefined
}

/** Whether the path begins in a folder of this machine; a line of shell code resolves to something that does not. */
async function isOnHost(path: string): Promise<boolean> {
  const [, first = ''] = path.split('/')
  return stat(join('/', first)).then(
    () => true,
    () => false,
  )
}
