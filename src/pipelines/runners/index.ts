export { openProcessRunner, type ProcessMode, searchPath } from './process.ts'
export type { Runner, RunRequest, RunResult } from './runner.ts'
export { isInside } from './visible.ts'
