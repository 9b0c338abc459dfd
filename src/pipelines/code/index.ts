export { type Code, findCode, hashSettings, isUnchanged, type Settings } from './code.ts'
