/**
 * `S3_TESTS=<checkout of ceph/s3-tests> node conformance/s3-tests/run.ts [--raise]`: runs that suite against a server of its own.
 * What has passed once (passing.txt) must pass. See README.md for the settings.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { underOurNode } from '../../test/runner.ts'
import { repository } from '../server.ts'
import { type Bench, missingTool, openBench, runProgram } from '../support.ts'

const here = dirname(fileURLToPath(import.meta.url))
const barFile = join(here, 'passing.txt')
/** All of it takes some minutes; each test has a limit of its own. */
const RUN_TIMEOUT_MS = 40 * 60_000
/** Not us-east-1, for which GetBucketLocation has no name. */
const REGION = 'eu-central-1'

interface Line {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'missing'
  readonly detail: string
}

underOurNode()
process.exitCode = await main()

async function main(): Promise<number> {
  const { S3_TESTS: checkout, S3_TESTS_NAMES: namesFile } = process.env
  const python = process.env['S3_TESTS_PYTHON'] ?? 'python3'
  const missing = await whatIsMissing(checkout, python)
  if (checkout === undefined || missing !== undefined) {
    console.log(`left out: s3-tests (${missing})`)
    return 0
  }
  const bar = await readNames(barFile)
  const names = namesFile === undefined ? bar : [...new Set([...bar, ...(await readNames(namesFile))])]
  const results = await runSuite(resolve(checkout), python, names)
  const keep = process.env['S3_TESTS_KEEP']
  if (keep !== undefined) await writeFile(keep, results.map((line) => `${JSON.stringify(line)}\n`).join(''))
  return report(results, names, bar)
}

async function whatIsMissing(checkout: string | undefined, python: string): Promise<string | undefined> {
  if (checkout === undefined) return 'S3_TESTS does not name a checkout of github.com/ceph/s3-tests'
  if (!existsSync(join(checkout, 's3tests/functional/test_s3.py'))) return `${checkout} is no checkout of s3-tests`
  const missing = await missingTool(python, [
    '-c',
    'import boto3, dateutil, httplib2, isodate, lxml, munch, pytest, pytz, requests, yaml',
  ])
  return missing && `${missing}; see requirements.txt of the checkout, and S3_TESTS_PYTHON`
}

async function readNames(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

async function runSuite(checkout: string, python: string, names: readonly string[]): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-s3-tests-'))
  const bench = await openBench({ SLUICE_REGION: REGION, SLUICE_VERSIONING: 'unset' })
  try {
    const settings = { config: join(folder, 's3tests.conf'), wanted: join(folder, 'wanted') }
    const results = join(folder, 'results')
    await writeFile(settings.config, await configuration(bench))
    await writeFile(settings.wanted, names.join('\n'))
    const files = [...new Set(names.map((name) => name.split('::', 1)[0] ?? ''))]
    const ran = await runProgram(
      python,
      ['-m', 'pytest', '-q', '--no-header', '--tb=short', '-p', 'no:cacheprovider', '-p', 'fresh_prefix', ...files],
      {
        folder: checkout,
        timeoutMs: RUN_TIMEOUT_MS,
        environment: {
          ...withoutAwsKeys(bench.server.clientEnvironment),
          AWS_REGION: REGION,
          AWS_DEFAULT_REGION: REGION,
          PYTHONPATH: here,
          PYTHONDONTWRITEBYTECODE: '1',
          S3TEST_CONF: settings.config,
          S3_USE_SIGV4: '1',
          S3_TESTS_WANTED: settings.wanted,
          S3_TESTS_RESULTS: results,
        },
      },
    )
    // 0: all passed, 1: some failed. Anything else is no result.
    if (ran.code !== 0 && ran.code !== 1) {
      throw new Error(`pytest ended with ${ran.code}:\n${ran.stdout.slice(-4000)}${ran.stderr.slice(-4000)}`)
    }
    if (bench.server.ended) throw new Error(`the server ended:\n${bench.server.output().slice(-4000)}`)
    return (await readFile(results, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line)
  } finally {
    await bench.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** The suite gives its keys itself; those of the environment would hide that a test sends none. */
function withoutAwsKeys(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !/^AWS_(ACCESS|SECRET|ENDPOINT)/.test(name)))
}

/** The users that the suite wants, made as anybody makes them. None is an administrator: what they may do, they may as owners. */
async function configuration(bench: Bench): Promise<string> {
  const url = new URL(bench.server.s3Url)
  const main = await createUser(bench, 'main')
  const alt = await createUser(bench, 'alt')
  const tenant = await createUser(bench, 'tenant')
  const iam = await createUser(bench, 'iam')
  const sections: [string, string[]][] = [
    ['DEFAULT', [`host = ${url.hostname}`, `port = ${url.port}`, 'is_secure = False', 'ssl_verify = False']],
    ['fixtures', ['bucket prefix = t-{random}-']],
    ['s3 main', [...main, `api_name = ${REGION}`]],
    ['s3 alt', alt],
    ['s3 tenant', [...tenant, 'tenant = tenant']],
    ['iam', iam],
    ['iam root', iam],
    ['iam alt root', iam],
  ]
  return sections.map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`).join('\n')
}

async function createUser(bench: Bench, name: string): Promise<string[]> {
  const email = `${name}@example.com`
  const command = [join(repository, 'bin/sluice.js'), 'user', 'create', name, '--email', email, '--json']
  const environment = { ...bench.server.clientEnvironment, AWS_REGION: REGION }
  const { user, key } = JSON.parse(await bench.ok(process.execPath, command, { environment })) as {
    user: { canonicalId: string }
    key: { accessKeyId: string; secretAccessKey: string }
  }
  return [
    `access_key = ${key.accessKeyId}`,
    `secret_key = ${key.secretAccessKey}`,
    `user_id = ${user.canonicalId}`,
    `display_name = ${name}`,
    `email = ${email}`,
  ]
}

async function report(results: readonly Line[], names: readonly string[], bar: readonly string[]): Promise<number> {
  const byName = new Map(results.map((line) => [line.name, line]))
  const passed = names.filter((name) => byName.get(name)?.outcome === 'passed')
  const lost = bar.filter((name) => byName.get(name)?.outcome !== 'passed')
  const gained = passed.filter((name) => !bar.includes(name))
  for (const line of results) {
    if (line.outcome === 'passed') continue
    const why =
      line.detail
        .trim()
        .split('\n')
        .filter((text) => text.startsWith('E  '))
        .at(-1) ?? line.detail.split('\n').at(-1)
    console.log(
      `${line.outcome.padEnd(8)}${line.name.split('::').at(-1)}  ${(why ?? '').replace(/^E\s+/, '').slice(0, 160)}`,
    )
  }
  console.log(`\n${passed.length} of ${names.length} passed`)
  if (gained.length > 0 && process.argv.includes('--raise')) {
    const raised = [...new Set([...bar, ...gained])].sort()
    await writeFile(barFile, `${raised.join('\n')}\n`)
    console.log(`${gained.length} more than before are in passing.txt now`)
  } else if (gained.length > 0) {
    console.log(
      `${gained.length} pass that are not in passing.txt yet (--raise puts them there):\n  ${gained.join('\n  ')}`,
    )
  }
  for (const name of lost) {
    console.log(`FAILED, and must pass: ${name}\n${byName.get(name)?.detail ?? 'it was not run'}`)
  }
  return lost.length === 0 ? 0 : 1
}
