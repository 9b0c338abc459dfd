import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { repository } from '../server.ts'
import { missingTool, openBench, runProgram } from '../support.ts'

const missing = await missingTool('python3', ['-c', 'import boto3'])

interface Line {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'ended'
  readonly detail: string
}

/** The suite itself is Python (boto3_suite.py); each of its tests is one here. */
it('boto3', { skip: missing, timeout: 300_000 }, async (t) => {
  const bench = await openBench()
  t.after(() => bench.close())
  const environment = {
    ...bench.server.clientEnvironment,
    SUITE_NODE: process.execPath,
    SUITE_SLUICE: join(repository, 'bin/sluice.js'),
    SUITE_EXAMPLES: join(repository, 'examples'),
    PYTHONDONTWRITEBYTECODE: '1',
  }
  const suite = join(repository, 'conformance/boto3/boto3_suite.py')
  const ran = await runProgram('python3', [suite], { environment, folder: bench.folder, timeoutMs: 280_000 })
  const lines = ran.stdout.split('\n').filter((line) => line.startsWith('{'))
  const results = lines.map((line) => JSON.parse(line) as Line)
  assert.equal(results.at(-1)?.outcome, 'ended', `the suite did not end: ${ran.stdout.slice(-2000)}${ran.stderr}`)
  for (const { name, outcome, detail } of results.slice(0, -1)) {
    await t.test(name, (test) => {
      if (outcome === 'skipped') test.skip(detail)
      else assert.equal(outcome, 'passed', `${detail}\nserver:\n${bench.server.output().slice(-4000)}`)
    })
  }
})
