import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidSpec } from '../errors.ts'
import { parseDurationMs } from './duration.ts'
import { describeInput, parseSpec, specToJson } from './index.ts'

const minimal = {
  pipeline: { name: 'edges' },
  transform: { cmd: ['node', 'edges.ts'] },
  input: { pfs: { repo: 'images', glob: '/*' } },
}

function problemsOf(spec: unknown): readonly string[] {
  try {
    parseSpec(spec)
  } catch (error) {
    assert.ok(error instanceof InvalidSpec)
    return error.data['problems'] as readonly string[]
  }
  return []
}

function assertProblem(spec: unknown, ...patterns: RegExp[]): void {
  const problems = problemsOf(spec)
  for (const pattern of patterns) {
    assert.ok(
      problems.some((problem) => pattern.test(problem)),
      `no problem matches ${pattern}: ${JSON.stringify(problems)}`,
    )
  }
  assert.equal(problems.length, patterns.length, JSON.stringify(problems))
}

const withInput = (input: unknown) => ({ ...minimal, input })
const withTransform = (transform: object) => ({ ...minimal, transform: { cmd: ['true'], ...transform } })

describe('pipeline specs', () => {
  it('fills in what a minimal spec leaves out, and says which branch it took', () => {
    const { spec, notes } = parseSpec(minimal)
    assert.equal(describeInput(spec.input), 'images@master:/*')
    assert.equal(spec.input.kind === 'pfs' && spec.input.name, 'images')
    assert.equal(spec.outputBranch, 'master')
    assert.equal(spec.datumTries, 3)
    assert.equal(spec.reprocess, 'until_success')
    assert.deepEqual(notes, ['input.pfs.branch is not given: master'])
  })

  it('reads back the normalised form of a full spec as the same spec, without notes', () => {
    const { spec } = parseSpec({
      pipeline: { name: 'join' },
      description: 'all fields',
      transform: {
        image: 'python:3',
        cmd: ['sh', '-c', 'cat'],
        stdin: ['a', 'b'],
        env: { A: '1', __proto__x: '2' },
        err_cmd: ['true'],
        err_stdin: ['c'],
        accept_return_code: [3, 255],
        working_dir: '/srv/code',
      },
      input: {
        cross: [
          { pfs: { repo: 'images', branch: 'dev.1', glob: '/**', name: 'pictures', empty_files: true } },
          { union: [{ pfs: { repo: 'a', glob: '/' } }, { pfs: { repo: 'b', glob: '/*' } }] },
        ],
      },
      parallelism_spec: { constant: 4 },
      output_branch: 'out',
      egress: { URL: 's3://bucket/dir', secret: 'mine' },
      datum_timeout: '1m30s',
      job_timeout: '2h',
      datum_tries: 1,
      reprocess_spec: 'every_job',
      metadata: { annotations: { a: 'b' }, labels: {} },
      salt: 'x',
    })
    assert.equal(spec.datumTimeoutMs, 90_000)
    const again = parseSpec(JSON.parse(JSON.stringify(specToJson(spec))))
    assert.deepEqual(JSON.parse(JSON.stringify(again.spec)), JSON.parse(JSON.stringify(spec)))
    assert.deepEqual(again.notes, [])
  })

  it('lists every problem at once', () => {
    assertProblem(
      {
        pipeline: { name: 'Edges_1' },
        transform: { comand: ['x'], env: { PACH_JOB_ID: 'x', n: 1 } },
        input: { pfs: { repo: 'images', globb: '/*' } },
        spout: { overwrite: true },
        datum_tries: 0,
        datum_timeout: '5 minutes',
      },
      /pipeline\.name.*Edges_1.*edges-1/,
      /transform\.comand.*nearest is `transform\.cmd`/,
      /transform\.cmd` is required/,
      /PACH_JOB_ID.*may not be overridden/,
      /env\.n` must be a string/,
      /pfs\.globb.*nearest is `input\.pfs\.glob`/,
      /pfs\.glob` is required/,
      /`spout` comes in a later release/,
      /datum_tries.*from 1 to 100/,
      /datum_timeout.*"1m30s"/,
    )
  })

  const refusedFields: [string, unknown, RegExp][] = [
    ['a service', { ...minimal, service: { internal_port: 80 } }, /`service` comes in a later release/],
    ['s3_out', { ...minimal, s3_out: true }, /`s3_out` comes in a later release/],
    ['secrets', withTransform({ secrets: [{ name: 'x' }] }), /`transform.secrets` comes in a later release/],
    [
      'an input of two kinds',
      withInput({ cross: [], union: [] }),
      /exactly one of pfs, cross, union; it holds cross and union/,
    ],
    ['an input of no kind', withInput({}), /exactly one of pfs, cross, union; it holds none/],
    ['a cron', withInput({ cron: { spec: '@daily' } }), /`input.cron` comes in a later release/],
    [
      'lazy files',
      withInput({ pfs: { repo: 'a', glob: '/', lazy: true } }),
      /`input.pfs.lazy` comes in a later release/,
    ],
    ['the old name of pfs', withInput({ atom: { repo: 'a' } }), /`input.atom` is called `pfs` now/],
    ['update inside the spec', { ...minimal, update: true }, /sluice pipeline update/],
    ['a name outside pipeline', { ...minimal, name: 'x' }, /stands inside `pipeline`/],
    ['an unknown field', { ...minimal, paralelism_spec: {} }, /nearest is `parallelism_spec`/],
    ['a coefficient', { ...minimal, parallelism_spec: { coefficient: 1 } }, /constant/],
    ['an input called out', withInput({ pfs: { repo: 'a', name: 'out', glob: '/' } }), /\/pfs\/out/],
    ['an input called PATH', withInput({ pfs: { repo: 'a', name: 'PATH', glob: '/' } }), /environment variable/],
    ['a name that leaves /pfs', withInput({ pfs: { repo: 'a', name: '../x', glob: '/' } }), /not allowed/],
    ['a bad glob', withInput({ pfs: { repo: 'a', glob: '/[a' } }), /not closed/],
    ['a bad branch', withInput({ pfs: { repo: 'a', branch: 'tx-1', glob: '/' } }), /tx-/],
    ['a relative working_dir', withTransform({ working_dir: 'code' }), /absolute/],
    ['a cmd that is no array', withTransform({ cmd: 'ls' }), /must be an array of strings.*\["ls"\]/],
    ['an empty cmd', withTransform({ cmd: [] }), /must name what to run/],
    ['a NUL in cmd', withTransform({ cmd: ['a\0b'] }), /NUL/],
  ]
  for (const [what, spec, pattern] of refusedFields) {
    it(`refuses ${what} by name`, () => assertProblem(spec, pattern))
  }

  it('refuses env that would hide an input', () => {
    assertProblem(
      { ...minimal, transform: { cmd: ['x'], env: { images: 'x', images_COMMIT: 'y' } } },
      /env\.images`/,
      /env\.images_COMMIT`/,
    )
  })

  it('refuses two inputs of one name in a cross, and takes them in a union', () => {
    const inputs = [{ pfs: { repo: 'a', glob: '/' } }, { pfs: { repo: 'a', branch: 'dev', glob: '/' } }]
    assertProblem(withInput({ cross: inputs }), /two inputs of a cross have the name a/)
    assert.deepEqual(problemsOf(withInput({ union: inputs })), [])
    assertProblem(
      withInput({ cross: [{ pfs: { repo: 'a-b', glob: '/' } }, { pfs: { repo: 'c', name: 'a_b', glob: '/' } }] }),
      /share/,
    )
  })

  it('refuses a later field that is there but empty, where being there means something', () => {
    assert.match(problemsOf({ ...minimal, spout: {} }).join(), /`spout` comes in a later release/)
    assert.match(problemsOf(withInput({ ...minimal.input, cron: {} })).join(), /`input.cron` comes in a later release/)
  })

  it('takes defaults of later fields as if they were not there', () => {
    assert.deepEqual(
      problemsOf({ ...minimal, s3_out: false, spout: null, resource_requests: {}, autoscaling: false }),
      [],
    )
  })

  for (const value of [
    undefined,
    null,
    1,
    'x',
    [],
    { pipeline: 3 },
    { pipeline: { name: 3 }, input: [], transform: [] },
  ]) {
    it(`says what is wrong with ${JSON.stringify(value)}`, () => assert.ok(problemsOf(value).length > 0))
  }
})

describe('durations', () => {
  for (const [text, ms] of [
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['100ms', 100],
    ['1ns', 1],
    ['2h45m', 9_900_000],
  ] as const) {
    it(`reads ${text} as ${ms} ms`, () => assert.equal(parseDurationMs(text), ms))
  }
  for (const text of ['', '0s', '-1s', '5', '5 s', '1d', '1000h', '1s1', 's', '.s']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseDurationMs(text), undefined))
  }
})
