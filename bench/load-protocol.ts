/** What the bench asks of a load generator, and what that answers. The generator is a process of its own. */
import type { Credentials } from '../conformance/server.ts'

export type Load =
  /** `count` requests over `connections` keep-alive sockets, signed before the clock starts. */
  | {
      readonly kind: 'many'
      readonly method: 'GET' | 'PUT'
      readonly url: string
      /** Of request number n; `{n}` is replaced. Already encoded. */
      readonly path: string
      /** `n` runs from 0 to this, again and again; more than `count`: no key twice. */
      readonly keys: number
      readonly query?: string
      readonly bodyBytes: number
      readonly count: number
      readonly connections: number
      readonly credentials: Credentials
    }
  /** One body of `bytes` bytes over one socket. */
  | {
      readonly kind: 'stream'
      readonly method: 'GET' | 'PUT'
      readonly url: string
      readonly path: string
      readonly bytes: number
      /** PUT only: the body's SHA-256 is in the signature, as older SDKs send it. */
      readonly signed: boolean
      readonly credentials: Credentials
    }

export interface LoadResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export type ToGenerator = { readonly load: Load } | 'go'
export type FromGenerator = 'ready' | { readonly result: LoadResult } | { readonly error: string }
