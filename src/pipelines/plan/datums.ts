import { hash } from 'node:crypto'
import { InvalidInput } from '../../kernel/index.ts'
import type { BranchName, CommitId, Content, RepoName } from '../../versioning/index.ts'
import type { Input, PfsInput } from '../spec/index.ts'

/** A job with more datums than this needs a coarser glob; each costs about 1 KiB of memory while the job is planned. */
const MAX_DATUMS = 1_000_000

/** A file that a glob matched, or that is below a folder that it matched. */
export interface MatchedFile {
  /** Key in the repo, without leading `/`. */
  readonly path: string
  readonly size: number
  readonly content: Content
}

/** What one match of an input's glob holds. */
export interface Match {
  /** With leading `/`: a file, a folder, or `/`. */
  readonly path: string
  readonly files: readonly MatchedFile[]
}

/** The matches of one pfs input on one commit; without commit if its branch has none yet. */
export interface InputMatches {
  readonly input: PfsInput
  readonly commit?: CommitId
  readonly matches: readonly Match[]
}

/** One input's part of a datum. */
export interface DatumInput {
  readonly name: string
  readonly repo: RepoName
  readonly branch: BranchName
  readonly commit: CommitId
  readonly emptyFiles: boolean
  readonly match: Match
}

/** One unit of work: what is handed to the code at once. */
export interface Datum {
  /** 32 hex digits of SHA-256 over the inputs' names and paths: the same work has the same id in every job. */
  readonly id: string
  readonly inputs: readonly DatumInput[]
}

/**
 * The datums of an input tree, in the order of the inputs' paths: every combination for a cross, one after the other for a
 * union. Pure. Throws InvalidInput if there are more than MAX_DATUMS.
 */
export function planDatums(input: Input, matchesOf: (input: PfsInput) => InputMatches): readonly Datum[] {
  const count = countDatums(input, matchesOf)
  if (count > MAX_DATUMS) {
    throw new InvalidInput(`the inputs give ${count} datums; at most ${MAX_DATUMS} are allowed: use a coarser glob`, {
      count,
      limit: MAX_DATUMS,
    })
  }
  const datums = new Map<string, Datum>()
  for (const inputs of combinations(input, matchesOf)) {
    const id = datumId(inputs)
    // The same part of a repo by two branches of a union is one piece of work.
    if (!datums.has(id)) datums.set(id, { id, inputs })
  }
  return [...datums.values()]
}

function countDatums(input: Input, matchesOf: (input: PfsInput) => InputMatches): number {
  switch (input.kind) {
    case 'pfs':
      return matchesOf(input).matches.length
    case 'cross':
      return input.inputs.reduce((product, inner) => product * countDatums(inner, matchesOf), 1)
    case 'union':
      return input.inputs.reduce((sum, inner) => sum + countDatums(inner, matchesOf), 0)
  }
}

function* combinations(input: Input, matchesOf: (input: PfsInput) => InputMatches): Generator<readonly DatumInput[]> {
  if (input.kind === 'union') {
    for (const inner of input.inputs) yield* combinations(inner, matchesOf)
    return
  }
  if (input.kind === 'pfs') {
    const { commit, matches } = matchesOf(input)
    if (commit === undefined) return
    const { name, repo, branch, emptyFiles } = input
    for (const match of matches) yield [{ name, repo, branch, commit, emptyFiles, match }]
    return
  }
  yield* product(input.inputs, matchesOf)
}

function* product(
  inputs: readonly Input[],
  matchesOf: (input: PfsInput) => InputMatches,
): Generator<readonly DatumInput[]> {
  const [first, ...rest] = inputs
  if (!first) {
    yield []
    return
  }
  // Held, so that it is not planned anew for each item of the first.
  const tails = [...product(rest, matchesOf)]
  for (const head of combinations(first, matchesOf)) for (const tail of tails) yield [...head, ...tail]
}

function datumId(inputs: readonly DatumInput[]): string {
  return hash('sha256', canonical(inputs.flatMap(({ name, match }) => [name, match.path])), 'hex').slice(0, 32)
}

/** Strings with their lengths, so that no two lists have one text. */
export function canonical(parts: readonly string[]): string {
  let text = ''
  for (const part of parts) text += `${part.length}:${part}`
  return text
}

/**
 * What decides whether a datum's result can be used again: the code and settings (themselves hashes) and its inputs' names, paths
 * and content. 32 bytes.
 */
export function fingerprint(settings: { readonly code: string; readonly spec: string }, datum: Datum): Buffer {
  const parts = ['1', settings.code, settings.spec]
  for (const { name, emptyFiles, match } of datum.inputs) {
    parts.push(name, match.path, emptyFiles ? 'names' : 'content', String(match.files.length))
    for (const file of match.files) parts.push(file.path, emptyFiles ? '' : contentIdentity(file.content))
  }
  return hash('sha256', canonical(parts), 'buffer')
}

/** The same for the same bytes stored in the same way. */
export function contentIdentity(content: Content): string {
  // Inline bytes are named as a chunk of the same bytes would be.
  if (content.kind === 'inline') return `chunk ${hash('sha256', content.bytes, 'hex')}`
  return `${content.kind} ${content.sha256.toString('hex')}`
}
