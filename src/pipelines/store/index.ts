export * from './datum-rows.ts'
export * from './job-rows.ts'
export { pipelineMigrations } from './migrations.ts'
export * from './pipeline-rows.ts'
