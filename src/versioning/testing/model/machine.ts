/** What is read and written: a branch, a transaction on it, a tag, or a commit by the name that the reference gave it. */
export type Place =
  | { readonly branch: string; readonly transaction?: string }
  | { readonly commit: string }
  | { readonly tag: string }

/** A branch, or a transaction on one. */
export type Line = Extract<Place, { branch: string }>

/** What a file holds: `text`, then dots up to `size` bytes. */
export interface Body {
  readonly text: string
  readonly size: number
  /** Written as an upload of one part, which gives it another ETag. */
  readonly isUpload?: boolean
}

export interface When {
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
}

/** Who wins where both sides of a merge changed a path. */
export type Side = 'ours' | 'theirs'

/** One step of a history. Commits and versions are called by the names that the reference gave them. */
export type Operation =
  | { do: 'put'; at: Line; path: string; body: Body; when?: When; author?: string }
  | { do: 'upload'; at: Line; path: string; body: Body }
  | { do: 'delete'; at: Line; path: string; when?: When }
  | { do: 'deleteMany'; at: Line; paths: readonly string[] }
  | { do: 'deleteVersions'; at: Line; path: string; versions: readonly string[] }
  | { do: 'copy'; at: Line; path: string; from: Place; source: string }
  | { do: 'rename'; at: Line; path: string; source: string }
  | { do: 'seal'; at: Line; force: boolean }
  | { do: 'startCommit'; at: Line; message: string }
  | { do: 'finishCommit'; at: Line; message: string }
  | { do: 'createBranch'; branch: string; from?: string }
  | { do: 'deleteBranch'; branch: string; force: boolean }
  | { do: 'restore'; at: Line; to: string }
  | { do: 'open'; at: Line }
  | { do: 'finish'; at: Line; message?: string }
  | { do: 'abort'; at: Line }
  | { do: 'merge'; at: Line; from: string; resolve?: Side; paths?: Readonly<Record<string, Side>> }
  | { do: 'revert'; at: Line; commit: string; mainline?: 1 | 2 }
  | { do: 'moveBranch'; branch: string; to: string }
  | { do: 'protect'; branch: string; on: boolean }
  | { do: 'createTag'; tag: string; commit: string }
  | { do: 'deleteTag'; tag: string }
  | { do: 'moveFiles'; at: Line; from: string; to: string; force: boolean }
  | { do: 'import'; at: Line; prefix: string; files: Readonly<Record<string, Body>> }
  /** `alongside`: nobody waits for its end before the next steps. */
  | { do: 'gc'; alongside: boolean }
  | { do: 'crash' }
  | { do: 'reopen' }

/** What anybody can see of the engine. */
export type Question =
  | { see: 'list'; at: Place; prefix?: string; delimiter?: string; page: number }
  | { see: 'file'; at: Place; path: string }
  | { see: 'versions'; at: Place; prefix?: string; page: number }
  | { see: 'branches' }
  | { see: 'tags' }
  | { see: 'log'; branch: string }
  | { see: 'commit'; commit: string }
  | { see: 'ancestor'; of: string; steps: number }
  | { see: 'diff'; before: string; after: string; prefix?: string }
  | { see: 'transactions'; branch: string }
  | { see: 'mergeBase'; one: string; other: string }

/** Plain data, in which ids are `{ '#': … }`: each machine has its own, and they need only stand for one another. */
export type Answer = null | boolean | number | string | Id | readonly Answer[] | { readonly [key: string]: Answer }

export interface Id {
  readonly '#': string
}

export const id = (name: string): Id => ({ '#': name })

/** A whole engine: the one that is tested, or the reference for it. A refusal is an answer: `{ refused: code, … }`. */
export interface Machine {
  do(operation: Operation): Promise<Answer> | Answer
  see(question: Question): Promise<Answer> | Answer
}

/** `put b0 a/b x1:10`: a step in a line, for people. */
export function describeOperation(operation: Operation): string {
  const { do: name, ...rest } = operation
  const words = Object.entries(rest).map(([key, value]) => `${key}=${describeValue(value)}`)
  return [name, ...words].join(' ')
}

function describeValue(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return `[${value.map(describeValue).join(', ')}]`
  if ('text' in value && 'size' in value) return `${value.text}:${value.size}`
  if ('branch' in value) return 'transaction' in value ? `${value.transaction}.${value.branch}` : String(value.branch)
  return Object.entries(value)
    .map(([key, inner]) => `${key}:${describeValue(inner)}`)
    .join(',')
}
