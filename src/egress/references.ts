import type { ReferenceSource } from '../versioning/index.ts'

/** What the rows of this floor refer to: what is pushed, or may be once more, and what targets are compared with. */
export const egressReferences: ReferenceSource = {
  trees: [
    `SELECT root, 'an egress' AS what, id FROM egress_push
     WHERE state IN ('waiting', 'running') OR (state = 'failed' AND commit_id IN (SELECT id FROM commits))`,
    // The hash, and behind a space what else decides how it is laid out.
    `SELECT substr(root, 1, 64) AS root, 'what a target holds' AS what, folder AS id FROM egress_target WHERE length(root) >= 64`,
    `SELECT substr(pending_root, 1, 64) AS root, 'what is on its way to a target' AS what, folder AS id FROM egress_target
     WHERE length(pending_root) >= 64`,
    `SELECT substr(state, 1, 64) AS root, 'a folder at a target' AS what, folder AS id FROM egress_folder WHERE length(state) >= 64`,
  ],
  commits: ["SELECT commit_id FROM egress_push WHERE state IN ('waiting', 'running')"],
  // What a target holds is not known by its tree any more: the next push compares all of it.
  rewritten: [
    'UPDATE egress_folder SET state = ?2 || substr(state, 65) WHERE substr(state, 1, 64) = ?1',
    'UPDATE egress_push SET root = ?2 WHERE root = ?1',
    'UPDATE egress_target SET root = NULL WHERE substr(root, 1, 64) = ?1 AND ?2 <> ?1',
    'UPDATE egress_target SET root = NULL, pending_root = NULL WHERE substr(pending_root, 1, 64) = ?1 AND ?2 <> ?1',
  ],
}
