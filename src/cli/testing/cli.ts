import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { openStack, type Stack } from '../../api/testing/stack.ts'
import { readCliConfig } from '../../kernel/index.ts'
import { runCommand } from '../run.ts'

export type Environment = Readonly<Record<string, string>>

export interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly bytes: Buffer
}

export interface Given {
  readonly input?: string | Buffer
  readonly env?: Environment
}

/** Runs a command in this process, in this folder and environment: all but the launcher and the process itself is real. */
export async function runWords(
  words: readonly string[],
  { folder, env, input }: { folder: string; env: Environment; input?: string | Buffer },
): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const written = Promise.all([buffer(stdout), buffer(stderr)])
  const code = await runCommand(words, {
    config: readCliConfig(env, folder),
    stdin: Readable.from(input === undefined ? [] : [Buffer.from(input)]),
    stdout,
    stderr,
    signal: new AbortController().signal,
    now: Date.now,
  })
  stdout.end()
  stderr.end()
  const [bytes, err] = await written
  return { code, out: bytes.toString(), err: err.toString(), bytes }
}

/** A server, and a home whose commands find it by its data folder. */
export class TestCli {
  readonly stack: Stack
  readonly folder: string

  constructor(stack: Stack, folder: string) {
    this.stack = stack
    this.folder = folder
  }

  environment(more: Environment = {}): Environment {
    return { HOME: this.folder, SLUICE_DATA: this.stack.folder, ...more }
  }

  run(words: readonly string[], { env, ...given }: Given = {}): Promise<Outcome> {
    return runWords(words, { folder: this.folder, env: this.environment(env), ...given })
  }

  /** What it printed; it has to end well. */
  async ok(...words: string[]): Promise<string> {
    const { code, out, err } = await this.run(words)
    assert.equal(code, 0, `sluice ${words.join(' ')}: ${err}`)
    return out
  }

  async json<T>(...words: string[]): Promise<T> {
    return JSON.parse(await this.ok(...words, '--json')) as T
  }

  /** A local file with this content. */
  async local(name: string, content: string | Buffer): Promise<string> {
    const path = join(this.folder, name)
    await writeFile(path, content)
    return path
  }

  async close(): Promise<void> {
    await this.stack.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export async function openCli(wanted: { idleMs?: number } = {}): Promise<TestCli> {
  const stack = await openStack(wanted)
  return new TestCli(stack, await mkdtemp(join(tmpdir(), 'sluice-cli-')))
}
