import type { BranchName, RepoName } from '../../versioning/index.ts'

/** One branch that a pipeline reads. */
export interface PfsInput {
  readonly kind: 'pfs'
  /** The folder below `/pfs` that its files are in. */
  readonly name: string
  readonly repo: RepoName
  readonly branch: BranchName
  readonly glob: string
  /** Files have their names but no content. */
  readonly emptyFiles: boolean
}

/** What a pipeline reads: a branch, or inputs that are combined. */
export type Input =
  | PfsInput
  | { readonly kind: 'cross'; readonly inputs: readonly Input[] }
  | { readonly kind: 'union'; readonly inputs: readonly Input[] }

/** The user code and how it is run. */
export interface Transform {
  /** Kept and shown; the process runner does not use it. */
  readonly image?: string
  readonly cmd: readonly string[]
  /** Lines for the standard input of `cmd`. */
  readonly stdin?: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Run when `cmd` failed; if it succeeds, the datum is `recovered`. */
  readonly errCmd?: readonly string[]
  readonly errStdin?: readonly string[]
  /** Exit codes besides 0 that are no failure. */
  readonly acceptReturnCode: readonly number[]
  /** Absolute; undefined: `/`. */
  readonly workingDir?: string
}

export type ReprocessSpec = 'until_success' | 'every_job'

/** A pipeline spec after parsing: valid, with every default filled in. */
export interface Spec {
  readonly name: RepoName
  readonly description: string
  readonly transform: Transform
  readonly input: Input
  /** Datums of one job that run at once; undefined: as many as the engine has workers. */
  readonly parallelism?: number
  readonly outputBranch: BranchName
  /** As it was given; the egress floor reads it. */
  readonly egress?: unknown
  readonly datumTimeoutMs?: number
  readonly jobTimeoutMs?: number
  readonly datumTries: number
  readonly reprocess: ReprocessSpec
  readonly metadata?: {
    readonly annotations: Readonly<Record<string, string>>
    readonly labels: Readonly<Record<string, string>>
  }
  readonly salt: string
  /** The durations as they were written, to be shown again. */
  readonly written: { readonly datumTimeout?: string; readonly jobTimeout?: string }
}

/** The pfs inputs of a tree, from left to right. */
export function leavesOf(input: Input): readonly PfsInput[] {
  return input.kind === 'pfs' ? [input] : input.inputs.flatMap(leavesOf)
}

/** `images@master:/*`, `cross(a@master:/*, b@master:/)`. */
export function describeInput(input: Input): string {
  if (input.kind !== 'pfs') return `${input.kind}(${input.inputs.map(describeInput).join(', ')})`
  return `${input.repo}@${input.branch}:${input.glob}`
}

/** The name that an input has in the environment, where `-` is not allowed. */
export function environmentName(inputName: string): string {
  return inputName.replaceAll('-', '_')
}

/** The spec in Pachyderm's field names, normalised; `parseSpec` reads it back to the same spec. */
export function specToJson(spec: Spec): unknown {
  const { transform, written } = spec
  return {
    pipeline: { name: spec.name },
    ...(spec.description && { description: spec.description }),
    transform: {
      ...(transform.image !== undefined && { image: transform.image }),
      cmd: transform.cmd,
      ...(transform.stdin && { stdin: transform.stdin }),
      ...(Object.keys(transform.env).length > 0 && { env: transform.env }),
      ...(transform.errCmd && { err_cmd: transform.errCmd }),
      ...(transform.errStdin && { err_stdin: transform.errStdin }),
      ...(transform.acceptReturnCode.length > 0 && { accept_return_code: transform.acceptReturnCode }),
      ...(transform.workingDir !== undefined && { working_dir: transform.workingDir }),
    },
    input: inputToJson(spec.input),
    ...(spec.parallelism !== undefined && { parallelism_spec: { constant: spec.parallelism } }),
    output_branch: spec.outputBranch,
    ...(spec.egress !== undefined && { egress: spec.egress }),
    ...(written.datumTimeout && { datum_timeout: written.datumTimeout }),
    ...(written.jobTimeout && { job_timeout: written.jobTimeout }),
    datum_tries: spec.datumTries,
    reprocess_spec: spec.reprocess,
    ...(spec.metadata && { metadata: spec.metadata }),
    ...(spec.salt && { salt: spec.salt }),
  }
}

function inputToJson(input: Input): unknown {
  if (input.kind === 'cross') return { cross: input.inputs.map(inputToJson) }
  if (input.kind === 'union') return { union: input.inputs.map(inputToJson) }
  const { name, repo, branch, glob, emptyFiles } = input
  return { pfs: { name, repo, branch, glob, ...(emptyFiles && { empty_files: true }) } }
}
