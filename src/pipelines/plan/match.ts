import { setImmediate as endOfTurn } from 'node:timers/promises'
import { InvalidInput } from '../../kernel/index.ts'
import type { CommitId, TreeHash, Trees } from '../../versioning/index.ts'
import type { PfsInput } from '../spec/index.ts'
import type { InputMatches, Match, MatchedFile } from './datums.ts'
import { parseGlob } from './glob.ts'

/** Files of all inputs of a job together; each is held in memory while the job is planned. */
const MAX_FILES = 5_000_000
/** How long files are matched until others have their turn. */
const TURN_MS = 20

/** Walks an input's tree and groups its files by what its glob matches. Folder markers are not files. */
export async function matchInput(
  trees: Trees,
  input: PfsInput,
  at: { commit: CommitId; root: TreeHash } | undefined,
): Promise<InputMatches> {
  if (!at) return { input, matches: [] }
  const glob = parseGlob(input.glob)
  const groups = new Map<string, MatchedFile[]>()
  let count = 0
  let begunMs = performance.now()
  for await (const entry of trees.walk(at.root, glob.prefix)) {
    if (performance.now() - begunMs > TURN_MS) {
      await endOfTurn()
      begunMs = performance.now()
    }
    if (entry.size === 0 && entry.path.endsWith('/')) continue
    const matched = glob.match(entry.path)
    if (matched === undefined) continue
    if (++count > MAX_FILES) {
      throw new InvalidInput(
        `the glob ${input.glob} of input ${input.name} matches more than ${MAX_FILES} files: use a narrower one`,
      )
    }
    const file: MatchedFile = { path: entry.path, size: entry.size, content: entry.content }
    const group = groups.get(matched)
    if (group) group.push(file)
    else groups.set(matched, [file])
  }
  const matches: Match[] = []
  for (const [path, files] of groups) matches.push({ path, files })
  return { input, commit: at.commit, matches }
}
