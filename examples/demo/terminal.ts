/** Shows what the demo does: each command, its real output, and what was checked. */
import { spawn } from 'node:child_process'

/** Nothing in the tour takes longer than seconds; a command that hangs must not hang the demo. */
const commandTimeoutMs = 180_000
/** A table that is longer is cut in the middle when it is shown; checks see all of it. */
const shownLines = 24

export interface Ran {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** Both, as they came. */
  readonly both: string
}

export type Environment = Readonly<Record<string, string | undefined>>

/** What was expected and did not come; the demo ends with it. */
export class NotAsExpected extends Error {}

export function heading(text: string): void {
  console.log(`\n── ${text}`)
}

export function note(text: string): void {
  console.log(`   ${text}`)
}

/** Says that something holds; throws NotAsExpected if it does not. */
export function check(holds: boolean, what: string): void {
  if (!holds) throw new NotAsExpected(what)
  console.log(`   ✓ ${what}`)
}

export interface RunOptions {
  readonly env: Environment
  /** How the command is written for people, if not as it is run. */
  readonly shown?: string
  readonly stdin?: string
  /** Text that must not be seen, such as a secret. */
  readonly hide?: readonly string[]
  /** Exit codes that are right here; 0 if nothing is said. */
  readonly expect?: readonly number[]
  /** Show the command, and of what it printed only the complaints. */
  readonly quiet?: boolean
}

/** Runs a command, shows it with what it printed, and throws NotAsExpected if it ends otherwise than expected. */
export async function run(command: readonly [string, ...string[]], options: RunOptions): Promise<Ran> {
  const shown = options.shown ?? command.map(quote).join(' ')
  const clean = (text: string) => (options.hide ?? []).reduce((t, secret) => t.replaceAll(secret, '…'), text)
  console.log(`$ ${clean(shown)}`)
  const ran = await runCommand(command, options)
  show(clean(options.quiet ? ran.stderr : ran.both))
  const expected = options.expect ?? [0]
  if (!expected.includes(ran.exitCode)) {
    throw new NotAsExpected(`${clean(shown)}: exit code ${ran.exitCode} instead of ${expected.join(' or ')}`)
  }
  return ran
}

export function runCommand(
  [program, ...args]: readonly [string, ...string[]],
  options: Pick<RunOptions, 'env' | 'stdin'>,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: options.env, stdio: ['pipe', 'pipe', 'pipe'], timeout: commandTimeoutMs })
    const text = { stdout: '', stderr: '', both: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (piece: string) => {
        text[stream] += piece
        text.both += piece
      })
    }
    // A program that does not read its input closes the pipe: its exit code tells what went wrong, not this.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.stdin ?? '')
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal !== null) reject(new NotAsExpected(`${program} was ended by ${signal}`))
      else resolve({ exitCode: code ?? -1, ...text })
    })
  })
}

/** Progress that a tool writes over itself with carriage returns is shown as it ended. */
function show(text: string): void {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/^.*\r(?=.)/s, '').trimEnd())
    .filter((line) => line !== '')
  const cut = lines.length > shownLines
  const visible = cut ? [...lines.slice(0, shownLines / 2), '…', ...lines.slice(-shownLines / 2)] : lines
  for (const line of visible) console.log(`  ${line}`)
}

function quote(word: string): string {
  return /^[\w@%+=:,./^~-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}
