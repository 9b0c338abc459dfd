export { type ImportPlace, StoredImports } from './stored.ts'
