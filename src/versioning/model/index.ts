export * from './errors.ts'
export * from './names.ts'
export * from './types.ts'
