import type { CommitTag, ConflictSide, MergeConflictPath, MergePreview } from '../versioning/index.ts'
import type { MergeConflictJson, MergeJson, MergeSideJson, TagJson } from './contract.ts'
import { isoTime } from './times.ts'

/** From the domain to the JSON of the contract: merges and tags. */

export function tagJson(tag: CommitTag): TagJson {
  const { repo, name, commit, createdMs, author, message } = tag
  const bucket = `${name}.${repo}`
  return { repo, name, commit, created: isoTime(createdMs), author: author ?? null, message, bucket }
}

export function previewJson(preview: MergePreview): MergeJson {
  const { head, bases, counts, conflicts, conflictsTotal } = preview
  if (preview.kind === 'contained') return { kind: 'contained', head: head ?? null }
  return {
    kind: 'preview',
    head: head ?? null,
    bases,
    ...counts,
    conflicts: conflicts.map(conflictJson),
    conflictsTotal,
  }
}

export function conflictJson({ path, base, ours, theirs }: MergeConflictPath): MergeConflictJson {
  return {
    path,
    ...(base === undefined ? {} : { base: sideJson(base) }),
    ours: sideJson(ours),
    theirs: sideJson(theirs),
  }
}

function sideJson(side: ConflictSide | null): MergeSideJson | null {
  if (!side) return null
  const { size, etag, modifiedMs, version } = side
  return { sizeBytes: size, etag, modified: isoTime(modifiedMs), version: `${version.commit}-${version.seq}` }
}
