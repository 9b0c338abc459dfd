import type { JsonSchema } from './fields.ts'
import { count, number, oneOf, only, several, shape, text } from './shape-words.ts'

const counted = [
  'pages',
  'branches',
  'commits',
  'versions',
  'trees',
  'nodes',
  'files',
  'packs',
  'chunks',
  'hashedBytes',
]
const counts = shape(Object.fromEntries(counted.map((name) => [name, count])))
const phase = oneOf('database', 'rows', 'packs', 'trees', 'versions', 'paths', 'repair')
const touched = shape({
  holders: several(shape({ repo: text, branch: text }, { commit: text })),
  holdersTotal: count,
  paths: several(shape({ repo: text, path: text }, { version: text })),
  pathsTotal: count,
})
const fault = shape(
  {
    kind: oneOf('database', 'pages', 'row', 'pack', 'chunk', 'content', 'node', 'counts'),
    message: text,
    severity: oneOf('damage', 'note'),
  },
  { sha256: text, pack: text, touched },
)

/** Of checking a store, and of its figures. */
export const fsckShapes = {
  Fsck: {
    oneOf: [
      shape({ kind: only('phase'), phase }),
      shape({ kind: only('progress'), phase, counts, faults: count }, { bytesPerSecond: count }),
      shape({ kind: only('fault'), fault }),
      shape({ kind: only('mended'), message: text }),
      shape(
        {
          kind: only('verdict'),
          verdict: oneOf('clean', 'damaged', 'stopped'),
          counts,
          faults: count,
          untold: count,
          mended: count,
          elapsedMs: count,
        },
        { bytesPerSecond: count },
      ),
    ],
  },
  Stats: shape(
    {
      repos: several(
        shape({ repo: text, branches: count, commits: count, files: count, bytes: count, historyBytes: count }),
      ),
      commits: count,
      versions: count,
      files: count,
      bytes: count,
      historyBytes: count,
      nodes: shape({ count, fileBytes: count }),
      chunks: shape({ count, bytes: count, doomed: count, doomedBytes: count }),
      packs: shape({ count, fileBytes: count }),
      metadata: shape({ fileBytes: count, logBytes: count }),
    },
    { headRatio: number, historyRatio: number },
  ),
} satisfies Record<string, JsonSchema>
