import type { Runner } from '../runners/index.ts'
import type { Code } from './code.ts'

/**
 * The code of somebody who may not reach outside of the sandbox: none of the server's files is shown to it, also where its command
 * names a file that was not there when the pipeline was made, and it does not run where there is no sandbox any more.
 */
export function confineCode(code: Code, runner: Pick<Runner, 'sandboxed'>): Code {
  const problem =
    'this server has no sandbox now, and whoever made the pipeline is no administrator: let one update it, or install bubblewrap'
  return { ...code, readable: [], problems: runner.sandboxed ? code.problems : [...code.problems, problem] }
}
