export { type Api, type ApiOptions, createApi } from './server.ts'
