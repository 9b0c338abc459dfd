export { LogFiles, type LogWriter } from './log-files.ts'
