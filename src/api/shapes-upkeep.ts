import type { JsonSchema } from './fields.ts'
import { count, named, oneOf, several, shape, text, texts, time, timeOrNull, yes } from './shape-words.ts'

/** Of the upkeep of a store: collecting, purging, backups and what is kept. */
export const upkeepShapes = {
  GcEvent: {
    oneOf: [
      shape(
        {
          kind: { type: 'string', const: 'progress' },
          phase: oneOf('commits', 'mark', 'nodes', 'chunks', 'packs'),
          done: count,
        },
        { total: count },
      ),
      shape({
        kind: { type: 'string', const: 'done' },
        dryRun: yes,
        commits: count,
        nodes: count,
        nodeBytes: count,
        chunks: count,
        chunkBytes: count,
        removedChunks: count,
        removedBytes: count,
        packsRemoved: count,
        packsRepacked: count,
        reclaimedBytes: { type: 'integer' },
        results: count,
        waitingBytes: count,
        damagedPacks: texts,
        durationMs: count,
      }),
    ],
  } satisfies JsonSchema,
  Purge: shape({
    id: count,
    repo: text,
    path: text,
    prefix: yes,
    reason: text,
    by: text,
    asked: time,
    finished: timeOrNull,
    commits: count,
    versions: count,
  }),
  PurgeEvent: {
    oneOf: [
      shape({
        kind: { type: 'string', const: 'progress' },
        phase: oneOf('versions', 'trees', 'content', 'databases'),
        done: count,
      }),
      shape({
        kind: { type: 'string', const: 'done' },
        purge: named('Purge'),
        derived: several(shape({ repo: text, commit: text })),
        derivedTotal: count,
        reclaimedBytes: { type: 'integer' },
        scrubMs: count,
      }),
    ],
  } satisfies JsonSchema,
  Holder: shape(
    { kind: oneOf('commit', 'branch', 'transaction', 'version', 'upload', 'scratch', 'other') },
    { repo: text, branch: text, commit: text, id: text, what: text, path: text },
  ),
  Why: shape(
    { sha256: text, kind: oneOf('node', 'chunk', 'manifest', 'gone'), held: several(named('Holder')), total: count },
    { bytes: count, unusedSince: time },
  ),
  Backup: shape({ id: text, created: text, store: text, sizeBytes: count, packs: count, keys: yes }),
  BackupEvent: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'progress' }, bytesDone: count, bytesTotal: count, bytesSent: count }),
      shape({ kind: { type: 'string', const: 'done' }, backup: named('Backup'), bytesSent: count }),
    ],
  },
  BackupVerify: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'fault' }, backup: text, object: text, why: text }),
      shape({ kind: { type: 'string', const: 'progress' }, bytesDone: count, bytesTotal: count }),
      shape({ kind: { type: 'string', const: 'done' }, backups: count, objects: count, bytes: count, faults: count }),
    ],
  },
  BackupsRemoved: shape({ backups: texts, objects: count, bytes: count }),
  Retention: shape({}, { keepDays: count, keepCommits: count }),
  Expired: shape({ repo: text, branch: text, commit: text, finished: text, why: oneOf('unreachable', 'retention') }),
} satisfies Record<string, JsonSchema>
