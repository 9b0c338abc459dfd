/** Suites that are programs in Python, because their client is a Python package. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { repository } from '../server.ts'
import { missingTool, openBench, runProgram } from '../support.ts'
import { type Following, followGuide } from './guides.ts'
import { ODD_NAMES } from './trees.ts'

interface Line {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'ended'
  readonly detail: string
}

const PROGRAM_TIMEOUT_MS = 280_000
/** After the program's own: for the server to end. */
const CLOSE_TIMEOUT_MS = 20_000

interface SuiteOptions {
  /** Why it is left out, if something else than a module is missing. */
  readonly missing?: string | undefined
  /** For the program, beside what reaches the server. */
  readonly environment?: Readonly<Record<string, string>>
  /** `SLUICE_…`, for the server. */
  readonly settings?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
  /** Its page in docs/clients, which is followed word for word when the program has ended. */
  readonly guide?: string
  readonly following?: Following
}

/** Runs `program` (it uses lines.py) against a server of its own, if `modules` can be imported; each of its tests is one here. */
export async function pythonSuite(
  name: string,
  modules: readonly string[],
  program: string,
  options: SuiteOptions = {},
): Promise<void> {
  const missing = (await missingTool('python3', ['-c', `import ${modules.join(', ')}`])) ?? options.missing
  const timeoutMs = options.timeoutMs ?? PROGRAM_TIMEOUT_MS
  it(name, { skip: missing, timeout: timeoutMs + CLOSE_TIMEOUT_MS }, async (t) => {
    const bench = await openBench(options.settings)
    t.after(() => bench.close())
    const environment = {
      ...bench.server.clientEnvironment,
      SUITE_NODE: process.execPath,
      SUITE_SLUICE: join(repository, 'bin/sluice.js'),
      SUITE_GUIDES: join(repository, 'docs/clients'),
      SUITE_ODD_NAMES: JSON.stringify(ODD_NAMES),
      PYTHONPATH: join(repository, 'conformance/shared'),
      PYTHONDONTWRITEBYTECODE: '1',
      ...options.environment,
    }
    const ran = await runProgram('python3', [program], {
      environment,
      folder: bench.folder,
      timeoutMs,
    })
    const lines = ran.stdout.split('\n').filter((line) => line.startsWith('{"name"'))
    const results = lines.map((line) => JSON.parse(line) as Line)
    const last = results.pop()
    assert.equal(last?.outcome, 'ended', `${dirname(program)} did not end: ${ran.stdout.slice(-2000)}${ran.stderr}`)
    t.diagnostic(`with ${last?.detail}`)
    for (const { name: promise, outcome, detail } of results) {
      await t.test(promise, () => {
        assert.equal(outcome, 'passed', `${detail}\nserver:\n${bench.server.output().slice(-4000)}`)
      })
    }
    const { guide } = options
    if (guide)
      await t.test('does what its guide says', () => followGuide(bench, guide, { ...options.following, environment }))
  })
}
