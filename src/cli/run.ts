import { readFile } from 'node:fs/promises'
import { CommanderError } from 'commander'
import { DomainError, errorMessage } from '../kernel/index.ts'
import { CliError } from './errors.ts'
import { printableLines } from './format.ts'
import { buildProgram } from './program.ts'
import { type Output, openSession, type Surroundings } from './session.ts'

/** Runs one command, given as its words, and returns its exit code: 0 done, 1 failed, 2 not written as it should be. */
export async function runCommand(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const session = openSession(surroundings)
  try {
    await buildProgram(session, await ownVersion()).parseAsync(words, { from: 'user' })
    return session.exitCode
  } catch (error) {
    return report(error, surroundings.stderr)
  } finally {
    session.close()
  }
}

/** Says what is wrong in one line, if it is anything that was to be expected; with its stack if not. */
export function report(error: unknown, stderr: Output): number {
  // Commander has said what is wrong; help that was asked for is no failure.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const expected = error instanceof CliError || error instanceof DomainError
  const text = !expected && error instanceof Error ? (error.stack ?? error.message) : errorMessage(error)
  // Messages may quote what somebody else has said, such as a target.
  stderr.write(`sluice: ${printableLines(text)}\n`)
  return error instanceof CliError ? error.exitCode : 1
}

async function ownVersion(): Promise<string> {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(await readFile(file, 'utf8')) as { version: string }).version
}
