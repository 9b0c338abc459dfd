export { type Code, findCode, hashSettings, isUnchanged, mayBePath, type Settings } from './code.ts'
export { confineCode } from './confine.ts'
