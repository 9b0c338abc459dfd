/** The guides of docs/, followed word for word: their settings are the suites' settings, their commands are run. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { repository, type Server } from '../server.ts'
import { type Bench, runProgram } from '../support.ts'

export interface Block {
  readonly language: string
  /** Where the text above the block says that it belongs: `~/…`. */
  readonly file: string | undefined
  readonly text: string
}

export interface Following {
  /** What runs the blocks of a language that is neither a shell nor Python: a program that reads them from standard input. */
  readonly runners?: Readonly<Record<string, readonly [command: string, ...args: string[]]>>
  /** For the programs, beside what reaches the server. */
  readonly environment?: Readonly<Record<string, string>>
  /** Blocks to leave out here; the suite shows what they say in another way. */
  readonly except?: (block: Block) => boolean
  /** Of a guide that is not in docs/clients: the path of its page in docs/, without `.md`. */
  readonly page?: string
  /** What else the guide writes for the reader to put in. */
  readonly fill?: (text: string) => string
}

/** The code blocks of a guide, in order. */
function guideBlocks(name: string, path = `clients/${name}`): readonly Block[] {
  const page = readFileSync(join(repository, 'docs', `${path}.md`), 'utf8')
  const blocks = [...page.matchAll(/(?:`(~\/[^`]+)`[^\n`]*:\n\n)?^```(\w+)\n(.*?)^```$/gms)]
  return blocks.map(([, file, language = '', text = '']) => ({ language, file, text }))
}

/** The text of a configuration file that a guide shows, for this server. */
export function guideFile(name: string, file: string, server: Server): string {
  const block = guideBlocks(name).find((candidate) => candidate.file === file)
  assert.ok(block, `docs/clients/${name}.md shows ${file}`)
  return forServer(block.text, server)
}

/** The words of the first command of a guide that begins with `start`, for this server. */
export function guideCommand(name: string, start: string, server: Server): readonly string[] {
  const lines = guideBlocks(name).flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'))
  const line = lines.find((candidate) => candidate.startsWith(start))
  assert.ok(line, `docs/clients/${name}.md shows ${start}`)
  const here = forServer(line, server).replaceAll('"$AWS_ENDPOINT_URL"', server.s3Url)
  return here.trim().split(/\s+/)
}

/** What the guides write as the endpoint and the keys, replaced by those of the server. */
function forServer(text: string, { s3Url, credentials }: Server): string {
  return text
    .replaceAll('http://127.0.0.1:30600', s3Url)
    .replaceAll('127.0.0.1:30600', new URL(s3Url).host)
    .replaceAll('YOUR_ACCESS_KEY', credentials.accessKeyId)
    .replaceAll('YOUR_SECRET_KEY', credentials.secretAccessKey)
}

/** Does what a guide says, from its first block to its last, in a home folder of its own that has a folder `photos`. */
export async function followGuide(bench: Bench, name: string, following: Following = {}): Promise<void> {
  const home = join(bench.folder, `guide-${name}`)
  await mkdir(join(home, 'photos/old'), { recursive: true })
  for (const photo of ['a.png', 'b.png', 'old/c.png'])
    await writeFile(join(home, 'photos', photo), `not really ${photo}`)
  const environment = {
    ...withoutFiles(bench.server.clientEnvironment),
    ...withoutFiles(following.environment),
    HOME: home,
    SLUICE_DATA: bench.server.folder,
    // What `npx sluice env` prints: the server has its key from its settings, not from its folder.
    SLUICE_ACCESS_KEY_ID: bench.server.credentials.accessKeyId,
    SLUICE_SECRET_ACCESS_KEY: bench.server.credentials.secretAccessKey,
    SUITE_NODE: process.execPath,
    SUITE_SLUICE: join(repository, 'bin/sluice.js'),
    // The machine's own locale would change what some of them print.
    LC_ALL: 'C.UTF-8',
  }
  const { page = `clients/${name}`, fill = (text) => text } = following
  const blocks = guideBlocks(name, page).filter((block) => !following.except?.(block))
  assert.ok(blocks.length > 0, `docs/${page}.md shows something`)
  for (const { language, file, text } of joined(blocks)) {
    const here = fill(forServer(text, bench.server))
    if (file !== undefined) await writeAtHome(home, file, here)
    else if (language === 'console') await compareTranscript(here, home, environment)
    else {
      const [command, ...args] = runnerOf(language, following)
      const input =
        { sh: `${PRELUDE}${here}`, python: `${here}\nprint(${JSON.stringify(CAME_THROUGH)}, flush=True)\n` }[
          language
        ] ?? here
      // Only here are the packages of this repository found by a program that comes by standard input.
      const folder = language === 'ts' ? repository : home
      const ran = await runProgram(command, args, { environment, folder, input })
      const cameThrough = language === 'python' && ran.stdout.includes(CAME_THROUGH)
      assert.ok(
        ran.code === 0 || cameThrough,
        `docs/${page}.md:\n${here}\n${ran.stdout}${ran.stderr}${bench.server.output()}`,
      )
    }
  }
}

/** Without what keeps the AWS tools from the files of a home folder: those that the guide shows are to be read. */
function withoutFiles(environment: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { AWS_CONFIG_FILE: _config, AWS_SHARED_CREDENTIALS_FILE: _keys, ...others } = environment
  return others
}

function runnerOf(language: string, { runners = {} }: Following): readonly [string, ...string[]] {
  const known: Following['runners'] = {
    sh: ['bash', '-s'],
    python: ['python3', '-'],
    ts: [process.execPath, '--input-type=module-typescript', '-'],
    ...runners,
  }
  const found = known[language]
  assert.ok(found, `something runs ${language}`)
  return found
}

/** Said after the last line of a program in Python: threads of a library's own may abort the interpreter on its way out. */
const CAME_THROUGH = 'every line of the guide was run'

/** `npx` would look for the command in the folder it is run in. */
const PRELUDE = 'set -euo pipefail\nnpx() { shift; "$SUITE_NODE" "$SUITE_SLUICE" "$@"; }\n'

async function writeAtHome(home: string, file: string, text: string): Promise<void> {
  const path = join(home, file.slice('~/'.length))
  await mkdir(dirname(path), { recursive: true })
  // Some clients refuse a file of keys that others may read.
  await writeFile(path, text, { mode: 0o600 })
}

/** Programs that a guide shows in pieces are one program. */
function joined(blocks: readonly Block[]): readonly Block[] {
  const whole: Block[] = []
  for (const block of blocks) {
    const last = whole.at(-1)
    const goesOn = last?.language === block.language && !['sh', 'console'].includes(block.language)
    if (last && goesOn && !last.file && !block.file) whole.push({ ...last, text: `${whole.pop()?.text}${block.text}` })
    else whole.push(block)
  }
  return whole
}

/** Runs the commands of a transcript (after `$ `) and compares what they print; a line `…` stands for any lines. */
async function compareTranscript(
  transcript: string,
  folder: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  for (const part of transcript.split(/^\$ /m).slice(1)) {
    const [command = '', ...shown] = part.trimEnd().split('\n')
    const ran = await runProgram('bash', ['-c', `${PRELUDE}${command} 2>&1`], { environment, folder })
    assert.equal(ran.code, 0, `${command}\n${ran.stdout}${ran.stderr}`)
    const pattern = shown
      .filter((line) => line.trim() !== '')
      .map((line) => (line === '…' ? '[^]*' : escaped(sameEveryTime(line))))
      .join('\n')
    const printed = ran.stdout.split('\n').filter((line) => line.trim() !== '')
    assert.match(printed.map(sameEveryTime).join('\n'), new RegExp(`^${pattern}$`), command)
  }
}

/** Without ids, times and the width of columns. */
function sameEveryTime(line: string): string {
  return line
    .replaceAll(/\b[0-9a-f]{32}\b/g, 'ID')
    .replaceAll(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?\S*( [A-Z]{3})?/g, 'TIME')
    .replaceAll(/Less than a second|\d+ (seconds?|minutes?)/g, 'WHILE')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
