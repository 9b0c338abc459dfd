import { JOB_STATES } from '../pipelines/index.ts'
import type { JsonSchema } from './fields.ts'
import {
  anything,
  count,
  countOrNull,
  dictionary,
  named,
  oneOf,
  several,
  shape,
  text,
  textOrNull,
  texts,
  time,
  timeOrNull,
  yes,
} from './shape-words.ts'
import { fsckShapes } from './shapes-fsck.ts'
import { upkeepShapes } from './shapes-upkeep.ts'

/** The contract's types as JSON Schema, for the OpenAPI document; a test holds real answers against them. */

function secretOf(kind: string, own: Record<string, JsonSchema>, optional: Record<string, JsonSchema>): JsonSchema {
  const required = { name: text, kind: { type: 'string', const: kind }, ...own, created: time, updated: time }
  return shape(required, { endpoint: text, warning: text, ...optional })
}

const jobState = oneOf(...JOB_STATES)
const datumState = oneOf('starting', 'running', 'success', 'failed', 'recovered', 'skipped')

const mergeCounts = { added: count, changed: count, deleted: count }

const roleName = oneOf('reader', 'writer', 'owner')

/** What is said of every push to an object store. */
const pushMembers = {
  id: text,
  url: text,
  state: oneOf('waiting', 'running', 'success', 'failed'),
  filesTotal: count,
  filesDone: count,
  filesSkipped: count,
  filesDeleted: count,
  bytesTotal: count,
  bytesDone: count,
  attempts: count,
  started: timeOrNull,
  finished: timeOrNull,
}
const pushOptions = {
  reason: text,
  bytesPerSecond: count,
  secondsLeft: count,
  trying: shape({ reason: text, times: count, since: time }),
}

export const shapes = {
  ...fsckShapes,
  ...upkeepShapes,
  Error: shape({
    error: shape({ code: text, message: text, data: { type: 'object', additionalProperties: true }, requestId: text }),
  }),
  Version: shape({ version: text, api: text }),
  Health: shape({ status: oneOf('ok', 'full') }),
  Readiness: shape({ status: oneOf('ready', 'full', 'stopping') }),
  Document: { type: 'object', additionalProperties: true } satisfies JsonSchema,
  CommitRef: shape({ repo: text, commit: text }),
  Repo: shape({
    name: text,
    description: text,
    created: time,
    defaultBranch: text,
    derived: yes,
    branches: texts,
    sizeBytes: count,
    files: count,
  }),
  Branch: shape({
    repo: text,
    name: text,
    head: textOrNull,
    openCommit: textOrNull,
    created: time,
    bucket: text,
    readOnly: textOrNull,
    protected: yes,
    batch: shape({
      idleMs: count,
      maxAgeMs: count,
      maxChanges: count,
      own: several(oneOf('idleMs', 'maxAgeMs', 'maxChanges')),
    }),
  }),
  Transaction: shape({
    name: text,
    repo: text,
    branch: text,
    bucket: text,
    commit: text,
    base: textOrNull,
    started: time,
    changes: count,
    message: text,
  }),
  Tag: shape({
    repo: text,
    name: text,
    commit: text,
    created: time,
    author: textOrNull,
    message: text,
    bucket: text,
  }),
  MergeSide: {
    oneOf: [shape({ sizeBytes: count, etag: text, modified: time, version: text }), { type: 'null' }],
  } satisfies JsonSchema,
  MergeConflict: shape(
    { path: text, ours: named('MergeSide'), theirs: named('MergeSide') },
    { base: named('MergeSide') },
  ),
  Merge: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'merged' }, commit: named('Commit'), ...mergeCounts }),
      shape({ kind: { type: 'string', const: 'contained' }, head: textOrNull }),
      shape({
        kind: { type: 'string', const: 'preview' },
        head: textOrNull,
        bases: texts,
        conflicts: several(named('MergeConflict')),
        conflictsTotal: count,
        ...mergeCounts,
      }),
    ],
  } satisfies JsonSchema,
  Revert: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'reverted' }, commit: named('Commit'), ...mergeCounts }),
      shape({ kind: { type: 'string', const: 'unchanged' }, head: textOrNull }),
    ],
  } satisfies JsonSchema,
  MovedBranch: shape({ kind: oneOf('moved', 'unchanged'), branch: named('Branch'), left: textOrNull }),
  Failure: shape({ kind: oneOf('failed', 'unrunnable', 'stopped'), reason: text }, { because: named('CommitRef') }),
  Commit: shape(
    {
      id: text,
      repo: text,
      branch: text,
      parents: texts,
      state: oneOf('open', 'sealed', 'finished', 'failed'),
      started: time,
      finished: timeOrNull,
      sizeBytes: count,
      files: count,
      message: text,
      authors: texts,
      provenance: several(named('CommitRef')),
    },
    { failure: named('Failure'), heldBy: text },
  ),
  Provenance: shape({ repo: text, branch: text, commit: text, direct: yes }),
  File: shape(
    {
      path: text,
      sizeBytes: count,
      etag: text,
      contentType: text,
      modified: time,
      version: text,
      metadata: dictionary,
    },
    { origin: shape({ job: text, datum: text }) },
  ),
  Directory: shape({ path: text, files: count, sizeBytes: count }),
  Files: shape({
    repo: text,
    commit: text,
    files: several(named('File')),
    directories: several(named('Directory')),
    next: textOrNull,
  }),
  Written: shape({
    repo: text,
    branch: text,
    path: text,
    commit: textOrNull,
    version: textOrNull,
    etag: text,
    sizeBytes: count,
  }),
  Deleted: shape({ repo: text, branch: text, path: text, commit: textOrNull, version: textOrNull, existed: yes }),
  Working: shape(
    {
      kind: { type: 'string', const: 'working' },
      step: oneOf('reading', 'merging', 'placing', 'finishing'),
      done: count,
    },
    { total: count },
  ),
  Placed: shape({ commit: named('Commit'), files: count, sizeBytes: count }),
  Difference: shape({
    kind: oneOf('added', 'deleted', 'changed'),
    path: text,
    before: { oneOf: [named('File'), { type: 'null' }] },
    after: { oneOf: [named('File'), { type: 'null' }] },
  }),
  Import: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'placing' }, entries: count, files: count }),
      shape({
        kind: { type: 'string', const: 'imported' },
        commit: named('Commit'),
        files: count,
        sizeBytes: count,
        added: count,
        changed: count,
        unchanged: count,
        skipped: several(shape({ name: text, why: text })),
        skippedTotal: count,
      }),
    ],
  },
  DiffStat: shape({
    path: textOrNull,
    added: shape({ files: count, bytes: count }),
    deleted: shape({ files: count, bytes: count }),
    changed: shape({ files: count, bytesBefore: count, bytesAfter: count }),
  }),
  FileChange: shape(
    { commit: named('Commit'), added: count, deleted: count, changed: count, growthBytes: { type: 'integer' } },
    { difference: named('Difference') },
  ),
  FlushVerdict: shape(
    {
      repo: text,
      branch: text,
      commit: text,
      verdict: oneOf('finished', 'failed', 'unrunnable', 'stopped', 'timed-out'),
    },
    { reason: text },
  ),
  Flush: {
    oneOf: [
      shape({
        kind: { type: 'string', const: 'waiting' },
        flushed: several(named('CommitRef')),
        commits: several(named('Commit')),
      }),
      shape({ kind: { type: 'string', const: 'ended' }, commit: named('Commit') }),
      shape({ kind: { type: 'string', const: 'verdict' }, ok: yes, branches: several(named('FlushVerdict')) }),
    ],
  } satisfies JsonSchema,
  Pipeline: shape(
    {
      name: text,
      version: count,
      description: text,
      state: oneOf('running', 'stopped'),
      created: time,
      updated: time,
      input: text,
      outputBranch: text,
      spec: anything,
      runner: text,
    },
    { egressUrl: text, lastJob: shape({ id: text, state: jobState }) },
  ),
  PipelineCreated: shape({ pipeline: named('Pipeline'), notes: texts }),
  JobEgress: shape(pushMembers, pushOptions),
  Egress: shape(
    { ...pushMembers, repo: text, commit: text, settings: named('EgressSettings'), created: timeOrNull },
    {
      ...pushOptions,
      job: text,
      secret: text,
      askedBy: text,
      verified: shape({ at: time, drift: count }),
      history: several(named('EgressAttempt')),
    },
  ),
  EgressSettings: shape(
    {
      layout: oneOf('plain', 'commit'),
      manifests: several(shape({ path: text }, { glob: text })),
      success: yes,
    },
    { keep: count, parallel: count, bandwidth: count },
  ),
  EgressAttempt: shape(
    {
      attempt: count,
      started: time,
      finished: timeOrNull,
      result: oneOf('running', 'success', 'failed', 'cancelled', 'interrupted', 'lost'),
      files: count,
      bytes: count,
    },
    { reason: text },
  ),
  Verify: {
    oneOf: [
      shape({ kind: { type: 'string', const: 'drift' }, path: text, drift: oneOf('missing', 'changed'), why: text }),
      shape({ kind: { type: 'string', const: 'foreign' }, path: text, size: count }),
      shape(
        {
          kind: { type: 'string', const: 'verified' },
          files: count,
          bytes: count,
          missing: count,
          changed: count,
          unsent: count,
          foreign: count,
          deep: yes,
          unread: count,
        },
        { repair: text },
      ),
    ],
  } satisfies JsonSchema,
  EgressRequested: shape({ egress: named('Egress'), notes: texts }),
  Job: shape(
    {
      id: text,
      pipeline: text,
      specVersion: count,
      state: jobState,
      outputCommit: text,
      inputs: several(named('CommitRef')),
      created: time,
      started: timeOrNull,
      finished: timeOrNull,
      datums: shape({ total: count, processed: count, skipped: count, failed: count, recovered: count }),
      restarts: count,
    },
    { reason: text, egress: named('JobEgress') },
  ),
  Datum: shape(
    {
      id: text,
      job: text,
      state: datumState,
      inputs: texts,
      attempts: count,
      exitCode: countOrNull,
      started: timeOrNull,
      finished: timeOrNull,
      bytesIn: count,
      bytesOut: count,
      why: text,
    },
    { reason: text },
  ),
  LogLine: shape(
    { at: time, pipeline: text, job: text, stream: oneOf('stdout', 'stderr', 'system'), text },
    { datum: text },
  ),
  User: shape(
    {
      name: text,
      canonicalId: text,
      admin: yes,
      mayCreateRepos: yes,
      root: yes,
      created: time,
      keys: several(shape({ accessKeyId: text, created: time }, { expires: time })),
    },
    { email: text, roles: several(shape({ repo: text, role: roleName })) },
  ),
  Key: shape({ accessKeyId: text, secretAccessKey: text }),
  UserCreated: shape({ user: named('User'), key: named('Key') }),
  Role: shape({ repo: text, user: text, canonicalId: text, role: roleName }),
  Credentials: shape({ accessKeyId: text, secretAccessKey: text, sessionToken: text, expires: time }),
  Secret: {
    oneOf: [
      secretOf('s3', { accessKeyId: text }, { region: text }),
      secretOf('gcs', { clientEmail: text }, { privateKeyId: text }),
      secretOf(
        'azure',
        { account: text, signsWith: oneOf('account key', 'shared access signature') },
        { expires: time },
      ),
    ],
  } satisfies JsonSchema,
}

export type ShapeName = keyof typeof shapes
