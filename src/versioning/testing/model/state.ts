import { createHash } from 'node:crypto'
import type { Body, Place } from './machine.ts'

/** One acknowledged PUT or DELETE; `body` is null for a DELETE. */
export interface Version {
  readonly id: string
  readonly path: string
  readonly body: Body | null
  readonly at: number
}

/** What was ever written to a line, oldest first, and what of it was deleted by its id. */
export interface History {
  readonly versions: readonly Version[]
  readonly hidden: ReadonlySet<string>
}

export type Tree = ReadonlyMap<string, Version>

export interface Commit {
  readonly id: string
  /** The line that it was made on; one made again under its name is another. */
  readonly line: LineState
  readonly parents: readonly string[]
  readonly finished: boolean
  readonly pinned: boolean
  readonly tree: Tree
  readonly history: History
  /** How many writes its line had seen when it was sealed, since it was pointed elsewhere for the so-manieth time. */
  readonly writes: number
  readonly moves: number
  readonly message: string
  readonly authors: ReadonlySet<string>
  readonly ordinal: number
}

/** A branch or a transaction. */
export interface LineState {
  readonly name: string
  view: Map<string, Version>
  history: History
  /** Its open batch. */
  open?: string
  /** The newest sealed commit. */
  tip?: string
  ordinals: number
  /** Since it was last pointed at another commit. */
  writes: { readonly path: string; readonly conditional: boolean }[]
  moves: number
  /** Versions that were deleted by their id here, whatever the branch pointed at then. */
  readonly hidden: Set<string>
  protected: boolean
  /** Of a transaction: its branch, and the commit that it began with. */
  readonly onto?: LineState
  readonly base?: string
}

/** Everything there is, in plain maps. */
export class State {
  readonly branches = new Map<string, LineState>()
  /** By `name.branch`. */
  readonly transactions = new Map<string, LineState>()
  /** In the order they were opened. */
  readonly commits = new Map<string, Commit>()
  readonly tags = new Map<string, string>()
  /** Steps done; stands for the time. */
  now = 0
  #names = 0

  newId(kind: string): string {
    return `${kind}${++this.#names}`
  }

  /** The repo goes with its last branch. */
  forgetRepo(): void {
    this.transactions.clear()
    this.commits.clear()
    this.tags.clear()
  }
}

/** What the parts of the reference ask of the whole. Throws Refusal. */
export interface Ground {
  readonly state: State
  finished(name: string): Commit
  place(at: Place): Pick<Commit, 'tree' | 'history'>
  fileAt(at: Place, path: string): Version
  openBatch(line: LineState): Commit
}

/** A refusal of the engine, by its code. */
export class Refusal extends Error {
  readonly answer: { readonly [key: string]: string | readonly string[] | number | boolean }
  constructor(code: string, more: Refusal['answer'] = {}) {
    super(code)
    this.answer = { refused: code, ...more }
  }
}

export function textOf({ text, size }: Body): string {
  return text.padEnd(size, '.')
}

const etags = new Map<string, string>()

/** As S3 has it: the MD5, or of an upload the MD5 of the parts' MD5s. */
export function etagOf(body: Body): string {
  const key = `${body.text}:${body.size}:${body.isUpload}`
  const md5 = createHash('md5').update(textOf(body)).digest()
  const known =
    etags.get(key) ?? (body.isUpload ? `${createHash('md5').update(md5).digest('hex')}-1` : md5.toString('hex'))
  etags.set(key, known)
  return known
}

export function byUtf8(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}

export function sameBody(one: Version | undefined, other: Version | undefined): boolean {
  const [a, b] = [one?.body ?? null, other?.body ?? null]
  return a === null || b === null ? a === b : etagOf(a) === etagOf(b)
}
