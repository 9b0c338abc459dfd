import type { Readable } from 'node:stream'
import type { Places, SecretStore } from '../cloud/index.ts'
import type { Egress } from '../egress/index.ts'
import type { Clock, Config, Need as KeyNeed, Metrics, Users } from '../kernel/index.ts'
import type { Pipelines } from '../pipelines/index.ts'
import type { Versioning } from '../versioning/index.ts'
import type { Caller } from './caller.ts'
import { type Fields, fieldsOfJson, type Read, readFields } from './fields.ts'
import type { ShapeName } from './shapes.ts'

/** What the routes work with. */
export interface Services {
  readonly versioning: Versioning
  readonly pipelines: Pipelines
  readonly egress: Pick<Egress, 'run' | 'list' | 'inspect' | 'retry' | 'kill' | 'usesOf' | 'verify'>
  /** Secrets can be put in here, and never be got out. */
  readonly secrets: Omit<SecretStore, 'open'>
  readonly users: Omit<Users, 'find'>
  /** Where backups are made and found. */
  readonly places: Places
  readonly config: Config
  readonly clock: Clock
  readonly version: string
  readonly metrics: Metrics
}

/** A body that was not read yet: the content of a file. */
export interface IncomingContent {
  readonly stream: AsyncIterable<Buffer>
  /** From Content-Length; undefined if the client did not say. */
  readonly expectedBytes: number | undefined
  /** Hex SHA-256 that the signature covers; undefined if the client chose not to sign the content. */
  readonly signedSha256: string | undefined
  readonly contentType: string | undefined
}

export type Answer =
  | { readonly kind: 'json'; readonly status: 200 | 201 | 503; readonly body: unknown }
  | { readonly kind: 'text'; readonly type: string; readonly body: string }
  | { readonly kind: 'empty' }
  | { readonly kind: 'lines'; readonly lines: AsyncIterable<unknown> }
  | { readonly kind: 'content'; readonly stream: Readable; readonly size: number; readonly headers: HeaderMap }

export type HeaderMap = Readonly<Record<string, string>>

/** A request that was authenticated and authorised, before its fields are read. */
export interface RawCall {
  readonly params: ReadonlyMap<string, string>
  readonly query: ReadonlyMap<string, string>
  /** Undefined unless the route has a JSON body. */
  readonly json: unknown
  /** Undefined unless the route has a content body. */
  readonly content: IncomingContent | undefined
  readonly author: string
  readonly caller: Caller
  /** Aborted when the client goes away or the server closes. */
  readonly signal: AbortSignal
  readonly services: Services
}

export type Call<P extends Fields, Q extends Fields, B extends Fields> = Omit<RawCall, 'params' | 'query'> & {
  readonly params: Read<P>
  readonly query: Read<Q>
  readonly body: Read<B>
}

type NoFields = Readonly<Record<never, never>>

/** What a key must be allowed to do; `known`: the route itself looks at what it may see or do. */
export type Need = 'none' | KeyNeed

interface Description<P extends Fields, Q extends Fields, B extends Fields> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Under the server's root, with `:name` for each of `params`. */
  readonly path: string
  readonly summary: string
  /** `none`: answered without a signature. The repo it is checked for is the `repo` of `params`, or what `about` says. */
  readonly needs: Need
  /** The parameter of the path that is the repo's name, where that is not `repo`. */
  readonly about?: string
  /** The field of the query that says which files it is about; left out, it is about the whole branch or commit. */
  readonly within?: 'path' | 'prefix'
  /** It is about the transaction that `branch` and `name` say, and not about the branch itself. */
  readonly inTransaction?: true
  /** A bearer token that will do in place of a signature, where one is configured. */
  readonly token?: 'metrics'
  readonly params?: P
  readonly query?: Q
  /** `json`: any JSON, handed over as it is. `content`: a stream. */
  readonly body?: B | 'json' | 'content'
  readonly answer: RouteAnswer
}

/** What the OpenAPI document says of the answer. */
export type RouteAnswer =
  | {
      readonly kind: 'json'
      readonly status: 200 | 201
      readonly shape: ShapeName
      readonly list?: boolean
      /** Where the body asks for it: lines of this shape, the last of them the answer. */
      readonly progress?: ShapeName
    }
  | { readonly kind: 'empty' }
  | { readonly kind: 'text'; readonly type: string }
  | { readonly kind: 'lines'; readonly shape: ShapeName }
  | { readonly kind: 'content' }

/** One row of the table that the router and the OpenAPI document are both made of. */
export interface Route {
  readonly method: Description<Fields, Fields, Fields>['method']
  readonly path: string
  readonly summary: string
  readonly needs: Need
  readonly about?: string
  readonly within?: 'path' | 'prefix'
  readonly inTransaction?: true
  readonly token?: 'metrics'
  readonly params: Fields
  readonly query: Fields
  readonly body: Fields | 'json' | 'content' | 'none'
  readonly answer: RouteAnswer
  handle(call: RawCall): Promise<Answer>
}

/** Makes a row of the table: fields are read, and refused, before `run` sees them. */
export function route<P extends Fields = NoFields, Q extends Fields = NoFields, B extends Fields = NoFields>(
  description: Description<P, Q, B>,
  run: (call: Call<P, Q, B>) => Promise<Answer>,
): Route {
  const params = description.params ?? ({} as P)
  const query = description.query ?? ({} as Q)
  const body = description.body ?? 'none'
  return {
    ...description,
    params,
    query,
    body,
    async handle(raw) {
      return run({
        ...raw,
        params: readFields(params, raw.params, 'path'),
        query: readFields(query, raw.query, 'query'),
        body: (typeof body === 'object' ? readFields(body, fieldsOfJson(raw.json), 'body') : {}) as Read<B>,
      })
    },
  }
}

export function json(body: unknown, status: 200 | 201 | 503 = 200): Answer {
  return { kind: 'json', status, body }
}

export const empty: Answer = { kind: 'empty' }

/** Hands `lines` over with each line turned into its JSON. */
export function lines<T>(source: AsyncIterable<T>, toJson: (item: T) => unknown): Answer {
  return {
    kind: 'lines',
    lines: (async function* () {
      for await (const item of source) yield await toJson(item)
    })(),
  }
}
