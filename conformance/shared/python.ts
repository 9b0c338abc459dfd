/** Suites that are programs in Python, because their client is a Python package. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { repository } from '../server.ts'
import { missingTool, openBench, runProgram } from '../support.ts'
import { ODD_NAMES } from './trees.ts'

interface Line {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'ended'
  readonly detail: string
}

const PROGRAM_TIMEOUT_MS = 280_000

/** Runs `program` (it uses lines.py) against a server of its own, if `modules` can be imported; each of its tests is one here. */
export async function pythonSuite(name: string, modules: readonly string[], program: string): Promise<void> {
  const missing = await missingTool('python3', ['-c', `import ${modules.join(', ')}`])
  it(name, { skip: missing, timeout: PROGRAM_TIMEOUT_MS + 20_000 }, async (t) => {
    const bench = await openBench()
    t.after(() => bench.close())
    const environment = {
      ...bench.server.clientEnvironment,
      SUITE_NODE: process.execPath,
      SUITE_SLUICE: join(repository, 'bin/sluice.js'),
      SUITE_ODD_NAMES: JSON.stringify(ODD_NAMES),
      PYTHONPATH: join(repository, 'conformance/shared'),
      PYTHONDONTWRITEBYTECODE: '1',
    }
    const options = { environment, folder: bench.folder, timeoutMs: PROGRAM_TIMEOUT_MS }
    const ran = await runProgram('python3', [program], options)
    const lines = ran.stdout.split('\n').filter((line) => line.startsWith('{"name"'))
    const results = lines.map((line) => JSON.parse(line) as Line)
    const last = results.pop()
    assert.equal(last?.outcome, 'ended', `${dirname(program)} did not end: ${ran.stdout.slice(-2000)}${ran.stderr}`)
    t.diagnostic(`with ${last?.detail}`)
    for (const { name: promise, outcome, detail } of results) {
      await t.test(promise, (test) => {
        if (outcome === 'skipped') test.skip(detail)
        else assert.equal(outcome, 'passed', `${detail}\nserver:\n${bench.server.output().slice(-4000)}`)
      })
    }
  })
}
