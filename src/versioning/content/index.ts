export { type Content, type ContentOptions, openContent } from './content.ts'
export type { ContentLimits } from './content-limits.ts'
export type { FileLayer, OpenFile } from './files.ts'
export { contentSchema } from './schema.ts'
