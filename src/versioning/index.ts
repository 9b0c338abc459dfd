export * from './model/index.ts'
export * from './versioning.ts'
