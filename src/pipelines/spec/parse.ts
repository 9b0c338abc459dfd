import { isAbsolute } from 'node:path'
import { errorMessage } from '../../kernel/index.ts'
import { type BranchName, parseBranchName, parseRepoName, type RepoName } from '../../versioning/index.ts'
import { InvalidSpec } from '../errors.ts'
import { parseGlob } from '../plan/glob.ts'
import { parseDurationMs } from './duration.ts'
import { type FieldNames, FieldReader, isObject, LATER, saysNothing } from './fields.ts'
import {
  environmentName,
  type Input,
  leavesOf,
  type PfsInput,
  type ReprocessSpec,
  type Spec,
  type Transform,
} from './spec.ts'

const topNames: FieldNames = {
  known: [
    'pipeline',
    'description',
    'transform',
    'input',
    'parallelism_spec',
    'output_branch',
    'egress',
    'datum_timeout',
    'job_timeout',
    'datum_tries',
    'reprocess_spec',
    'metadata',
    'salt',
  ],
  refused: {
    ...laterFields([
      's3_out',
      'datum_set_spec',
      'service',
      'spout',
      'resource_requests',
      'resource_limits',
      'sidecar_resource_limits',
      'autoscaling',
    ]),
    update: 'is said when the spec is sent, not in it: `sluice pipeline update -f FILE`',
    reprocess: 'is said when the spec is sent, not in it: `sluice pipeline update --reprocess -f FILE`',
    name: 'stands inside `pipeline`: {"pipeline": {"name": …}}',
  },
}
const pipelineNames: FieldNames = { known: ['name'], refused: { project: 'is not known here: there are no projects' } }
const transformNames: FieldNames = {
  known: ['image', 'cmd', 'stdin', 'env', 'err_cmd', 'err_stdin', 'accept_return_code', 'working_dir'],
  refused: laterFields(['secrets', 'user']),
}
const inputNames: FieldNames = {
  known: ['pfs', 'cross', 'union'],
  refused: { ...laterFields(['join', 'group', 'cron']), atom: 'is called `pfs` now' },
}
const pfsNames: FieldNames = {
  known: ['name', 'repo', 'branch', 'glob', 'empty_files'],
  refused: laterFields(['join_on', 'outer_join', 'group_by', 'lazy', 's3', 'trigger']),
}
const parallelismNames: FieldNames = {
  known: ['constant'],
  refused: { coefficient: 'has no meaning without a cluster: use `constant`' },
}
const metadataNames: FieldNames = { known: ['annotations', 'labels'], refused: {} }

/** Linux takes at most 128 KiB in one argument or environment string. */
const strings = { items: 1_000, characters: 120 * 1024 }
const MAX_INPUTS = 100
const MAX_INPUT_DEPTH = 10
const DEFAULT_TRIES = 3
const MAX_TRIES = 100
const MAX_PARALLELISM = 1_024

/** Names that the runner gives a meaning; an input of that name would break the user's code. */
const reservedVariables = new Set(['PATH', 'HOME', 'TMPDIR', 'PWD', 'SHELL', 'USER', 'LANG', 'IFS'])

function laterFields(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, LATER]))
}

/**
 * Reads a pipeline spec (Pachyderm's JSON). Throws InvalidSpec with every problem at once. `notes` say in one line each what was
 * read in another way than it is written.
 */
export function parseSpec(value: unknown): { readonly spec: Spec; readonly notes: readonly string[] } {
  const problems: string[] = []
  const notes: string[] = []
  const top = new FieldReader(value, '', problems, topNames)
  const name = readName(top, problems, notes)
  const input = readInput(top.raw('input'), 'input', problems, notes, 0)
  if (input) checkNames(input, problems)
  const transform = readTransform(top.raw('transform'), problems, input)
  const parallelism = readParallelism(top.raw('parallelism_spec'), problems)
  const datumTimeout = readDuration(top, 'datum_timeout')
  const jobTimeout = readDuration(top, 'job_timeout')
  const outputBranch = readBranch(top, 'output_branch', problems)
  const metadata = readMetadata(top.raw('metadata'), problems)
  const egress = saysNothing(top.raw('egress')) ? undefined : top.raw('egress')
  const spec = {
    name: name ?? ('' as RepoName),
    description: top.text('description') ?? '',
    transform,
    input: input ?? ({ kind: 'union', inputs: [] } as const),
    ...(parallelism !== undefined && { parallelism }),
    outputBranch,
    ...(egress !== undefined && { egress }),
    ...(datumTimeout && { datumTimeoutMs: datumTimeout.ms }),
    ...(jobTimeout && { jobTimeoutMs: jobTimeout.ms }),
    datumTries: top.integer('datum_tries', 1, MAX_TRIES) ?? DEFAULT_TRIES,
    reprocess: readReprocess(top),
    ...(metadata && { metadata }),
    salt: top.text('salt', 1_024) ?? '',
    written: {
      ...(datumTimeout && { datumTimeout: datumTimeout.text }),
      ...(jobTimeout && { jobTimeout: jobTimeout.text }),
    },
  } satisfies Spec
  if (problems.length > 0) throw new InvalidSpec(problems)
  return { spec, notes }
}

function readName(top: FieldReader, problems: string[], notes: string[]): RepoName | undefined {
  let value = top.raw('pipeline')
  if (value === undefined) {
    problems.push('`pipeline.name` is required')
    return undefined
  }
  if (typeof value === 'string') {
    notes.push(`pipeline: ${JSON.stringify(value)} is read as pipeline: {"name": ${JSON.stringify(value)}}`)
    value = { name: value }
  }
  const reader = new FieldReader(value, 'pipeline', problems, pipelineNames)
  const text = reader.text('name')
  if (text === undefined) {
    if (isObject(value) && reader.raw('name') === undefined) problems.push('`pipeline.name` is required')
    return undefined
  }
  return parsed('pipeline.name', problems, () => parseRepoName(text))
}

/** What a parser throws becomes one more problem of the field. */
function parsed<T>(at: string, problems: string[], parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    problems.push(`\`${at}\`: ${errorMessage(error)}`)
    return undefined
  }
}

function readBranch(reader: FieldReader, field: string, problems: string[]): BranchName {
  const text = reader.text(field)
  const fallback = 'master' as BranchName
  if (text === undefined) return fallback
  return parsed(reader.path(field), problems, () => parseBranchName(text)) ?? fallback
}

function readInput(value: unknown, at: string, problems: string[], notes: string[], depth: number): Input | undefined {
  if (value === undefined || value === null) {
    problems.push(`\`${at}\` is required: {"pfs": {"repo": …, "glob": "/*"}}, or cross or union of such`)
    return undefined
  }
  if (depth > MAX_INPUT_DEPTH) {
    problems.push(`\`${at}\` is nested more than ${MAX_INPUT_DEPTH} deep`)
    return undefined
  }
  const before = problems.length
  const reader = new FieldReader(value, at, problems, inputNames)
  const given = inputNames.known.filter((name) => reader.raw(name) !== undefined)
  if (given.length !== 1) {
    if (problems.length === before) {
      const found = given.length === 0 ? 'none' : given.join(' and ')
      problems.push(`\`${at}\` must hold exactly one of pfs, cross, union; it holds ${found}`)
    }
    return undefined
  }
  const kind = given[0]
  if (kind === 'pfs') return readPfs(reader.raw('pfs'), `${at}.pfs`, problems, notes)
  if (kind !== 'cross' && kind !== 'union') return undefined
  const list = reader.raw(kind)
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_INPUTS) {
    problems.push(`\`${at}.${kind}\` must be an array of 1 to ${MAX_INPUTS} inputs`)
    return undefined
  }
  const inputs = list.map((item, index) => readInput(item, `${at}.${kind}[${index}]`, problems, notes, depth + 1))
  return inputs.every((item) => item !== undefined) ? { kind, inputs } : undefined
}

function readPfs(value: unknown, at: string, problems: string[], notes: string[]): PfsInput | undefined {
  const before = problems.length
  const reader = new FieldReader(value, at, problems, pfsNames)
  if (problems.length > before && !isObject(value)) return undefined
  const repoText = reader.text('repo')
  if (repoText === undefined && reader.raw('repo') === undefined) reader.problem('repo', 'is required')
  const repo = repoText === undefined ? undefined : parsed(`${at}.repo`, problems, () => parseRepoName(repoText))
  const globText = reader.text('glob')
  if (globText === undefined && reader.raw('glob') === undefined) {
    reader.problem('glob', 'is required: "/*" makes a datum of each top-level entry, "/" one of everything')
  }
  const glob = globText === undefined ? undefined : parsed(`${at}.glob`, problems, () => parseGlob(globText))
  if (reader.raw('branch') === undefined && repo) notes.push(`${at}.branch is not given: master`)
  const branch = readBranch(reader, 'branch', problems)
  const name = reader.text('name') || repo
  if (name === undefined || repo === undefined || glob === undefined) return undefined
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(name)) {
    reader.problem(
      'name',
      `${JSON.stringify(name.slice(0, 100))} is not allowed: letters, digits, - and _, at most 63, beginning with a letter or digit`,
    )
    return undefined
  }
  const variable = environmentName(name)
  if (name === 'out') reader.problem('name', 'may not be `out`: /pfs/out is where results go')
  if (reservedVariables.has(variable) || /^(PACH|SLUICE|LD|NODE)_/.test(variable)) {
    reader.problem('name', `may not be ${name}: it is also the name of an environment variable that has a meaning`)
  }
  return { kind: 'pfs', name, repo, branch, glob: glob.pattern, emptyFiles: reader.flag('empty_files') }
}

/** One datum never holds two inputs of one name: their files would be in one folder. */
function checkNames(input: Input, problems: string[]): void {
  if (leavesOf(input).length > MAX_INPUTS)
    problems.push(`\`input\` names ${leavesOf(input).length} repos; at most ${MAX_INPUTS} are allowed`)
  const visit = (node: Input): readonly string[] => {
    if (node.kind === 'pfs') return [node.name]
    const inner = node.inputs.map(visit)
    if (node.kind === 'union') return [...new Set(inner.flat())]
    const seen = new Map<string, string>()
    for (const names of inner) {
      for (const name of names) {
        const other = seen.get(environmentName(name))
        if (other === name)
          problems.push(`two inputs of a cross have the name ${name}: give one of them another \`name\``)
        else if (other !== undefined)
          problems.push(`the inputs ${other} and ${name} of a cross would share an environment variable: rename one`)
      }
      for (const name of names) seen.set(environmentName(name), name)
    }
    return inner.flat()
  }
  visit(input)
}

function readTransform(value: unknown, problems: string[], input: Input | undefined): Transform {
  if (value === undefined) {
    problems.push('`transform.cmd` is required')
    return { cmd: [], env: {}, acceptReturnCode: [] }
  }
  const reader = new FieldReader(value, 'transform', problems, transformNames)
  const cmd = reader.texts('cmd', strings)
  if (isObject(value) && reader.raw('cmd') === undefined)
    problems.push('`transform.cmd` is required: what to run, as an array of strings')
  else if (cmd && (cmd.length === 0 || cmd[0] === '')) reader.problem('cmd', 'must name what to run')
  const errCmd = reader.texts('err_cmd', strings)
  if (errCmd?.[0] === '') reader.problem('err_cmd', 'must name what to run')
  const env = reader.map('env', strings)
  const taken = new Set(
    input ? leavesOf(input).flatMap(({ name }) => [environmentName(name), `${environmentName(name)}_COMMIT`]) : [],
  )
  for (const name of Object.keys(env)) {
    if (name === '' || name.includes('=')) reader.problem(`env.${name}`, 'is not a name of a variable')
    else if (taken.has(name) || /^(PACH|SLUICE)_/.test(name))
      reader.problem(`env.${name}`, 'is set by Sluice and may not be overridden')
  }
  const workingDir = reader.text('working_dir', 4_096) || undefined
  if (workingDir !== undefined && !isAbsolute(workingDir)) {
    reader.problem(
      'working_dir',
      `must be an absolute path, not ${JSON.stringify(workingDir)}; \`sluice pipeline create -f FILE\` makes it one`,
    )
  }
  const stdin = reader.texts('stdin', strings)
  const errStdin = reader.texts('err_stdin', strings)
  const image = reader.text('image') || undefined
  return {
    ...(image !== undefined && { image }),
    cmd: cmd ?? [],
    ...(stdin && stdin.length > 0 && { stdin }),
    env,
    ...(errCmd && errCmd.length > 0 && { errCmd }),
    ...(errStdin && errStdin.length > 0 && { errStdin }),
    acceptReturnCode: readCodes(reader),
    ...(workingDir !== undefined && { workingDir }),
  }
}

function readCodes(reader: FieldReader): readonly number[] {
  const value = reader.raw('accept_return_code')
  if (value === undefined) return []
  const good =
    Array.isArray(value) &&
    value.length <= 256 &&
    value.every((code) => Number.isInteger(code) && code >= 0 && code <= 255)
  if (good) return value
  reader.problem('accept_return_code', 'must be an array of exit codes from 0 to 255')
  return []
}

function readParallelism(value: unknown, problems: string[]): number | undefined {
  if (saysNothing(value) || value === undefined) return undefined
  return new FieldReader(value, 'parallelism_spec', problems, parallelismNames).integer('constant', 1, MAX_PARALLELISM)
}

function readDuration(reader: FieldReader, name: string): { ms: number; text: string } | undefined {
  const text = reader.text(name)
  if (text === undefined || text === '') return undefined
  const ms = parseDurationMs(text)
  if (ms !== undefined) return { ms, text }
  reader.problem(
    name,
    `is not a duration from 1ms to 24 days: ${JSON.stringify(text.slice(0, 100))}; write "30s", "1m30s", "2h"`,
  )
  return undefined
}

function readReprocess(reader: FieldReader): ReprocessSpec {
  const text = reader.text('reprocess_spec') || 'until_success'
  if (text === 'until_success' || text === 'every_job') return text
  reader.problem('reprocess_spec', `must be "until_success" or "every_job", not ${JSON.stringify(text.slice(0, 100))}`)
  return 'until_success'
}

function readMetadata(value: unknown, problems: string[]): Spec['metadata'] {
  if (saysNothing(value) || value === undefined) return undefined
  const reader = new FieldReader(value, 'metadata', problems, metadataNames)
  return { annotations: reader.map('annotations', strings), labels: reader.map('labels', strings) }
}
