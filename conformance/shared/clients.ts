/** The programs that suites drive: whether they are on this machine, and which release. */
import { missingTool, runProgram } from '../support.ts'

export interface Client {
  /** Its name and release, for the title of the suite. */
  readonly title: string
  /** Why the suite is left out, or undefined. */
  readonly missing: string | undefined
}

/** Runs `command args` (what prints its release) once. */
export async function findClient(command: string, ...args: readonly string[]): Promise<Client> {
  const missing = await missingTool(command, args)
  if (missing) return { title: command, missing }
  const environment = Object.fromEntries(Object.entries(process.env).filter((e): e is [string, string] => !!e[1]))
  const { stdout } = await runProgram(command, args, { environment })
  const release = /\d+\.\d+(\.\d+)?/.exec(stdout)?.[0] ?? 'of an unknown release'
  return { title: `${command} ${release}`, missing: undefined }
}
