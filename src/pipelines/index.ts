/** Doors tell them apart by their literal codes. */
export type * from './errors.ts'
export { openPipelines, type PipelinesOptions } from './open.ts'
export type * from './pipelines.ts'
export { JOB_STATES } from './pipelines.ts'
export { openProcessRunner, type ProcessMode, type Runner, type RunRequest, type RunResult } from './runners/index.ts'
export { measureJobs, pipelineMigrations, pipelineReferences } from './store/index.ts'
