import { DomainError } from '../kernel/index.ts'

/** Every error of this floor, by its literal code: doors map them exhaustively. */
export type PipelinesError =
  | InvalidSpec
  | PipelineNotFound
  | PipelineExists
  | JobNotFound
  | DatumNotFound
  | AmbiguousJob
  | StaleAttempt
  | RetryRefused

/** A pipeline spec that can't be used; `data.problems` lists every fault found, not only the first. */
export class InvalidSpec extends DomainError {
  readonly code = 'InvalidSpec'
  constructor(problems: readonly string[]) {
    super(`the pipeline spec has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`, {
      problems,
    })
  }
}

/** There is no such pipeline (`data.pipeline`). */
export class PipelineNotFound extends DomainError {
  readonly code = 'PipelineNotFound'
  constructor(name: string) {
    super(`there is no pipeline ${name}`, { pipeline: name })
  }
}

/** The pipeline is there already (`data.pipeline`). */
export class PipelineExists extends DomainError {
  readonly code = 'PipelineExists'
  constructor(name: string) {
    super(`pipeline ${name} exists already; to replace its spec, update it`, { pipeline: name })
  }
}

/** No job has this id or prefix (`data.job`). */
export class JobNotFound extends DomainError {
  readonly code = 'JobNotFound'
  constructor(id: string) {
    super(`there is no job ${id}`, { job: id })
  }
}

/** The job has no such datum (`data.job`, `data.datum`). */
export class DatumNotFound extends DomainError {
  readonly code = 'DatumNotFound'
  constructor(job: string, id: string) {
    super(`job ${job} has no datum ${id}`, { job, datum: id })
  }
}

/** A prefix that several jobs begin with (`data.jobs`). */
export class AmbiguousJob extends DomainError {
  readonly code = 'AmbiguousJob'
  constructor(prefix: string, jobs: readonly string[]) {
    super(`${prefix} may mean any of the jobs ${jobs.join(', ')}: give more digits`, { prefix, jobs })
  }
}

/** Somebody else has taken the job up, or it has ended: what this attempt found out does not count any more. */
export class StaleAttempt extends DomainError {
  readonly code = 'StaleAttempt'
  constructor(job: string) {
    super(`job ${job} has been taken up by somebody else, or has ended`, { job })
  }
}

/** The job's egress is not retried; the message says why and what to do instead. */
export class RetryRefused extends DomainError {
  readonly code = 'RetryRefused'
}
