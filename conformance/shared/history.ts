/** What a suite asks of the history that a client made without knowing. */
import type { Bench } from '../support.ts'

export interface Listed {
  readonly id: string
  readonly state: string
  readonly files: number
  readonly message?: string
}

/** Flushes `repo@master`, so that no batch is open, and returns its commits, the newest first. */
export async function commitsOf(bench: Bench, repo: string): Promise<Listed[]> {
  await bench.sluice(['flush', `${repo}@master`])
  return JSON.parse(await bench.sluice(['commit', 'list', repo, '--json']))
}

/** The id of the newest commit, after a flush. */
export async function headOf(bench: Bench, repo: string): Promise<string> {
  const [newest] = await commitsOf(bench, repo)
  if (!newest) throw new Error(`${repo} has no commit`)
  return newest.id
}
