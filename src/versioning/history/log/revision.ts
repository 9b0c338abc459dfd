import { CommitNotFound } from '../../model/index.ts'
import { parseTime } from './commit-times.ts'

/** A revision, taken apart. */
export interface Revision {
  /** A branch, tag, commit id or prefix; undefined: the default branch. */
  readonly base: string | undefined
  /** Of `@{…}`: the newest commit that had been the head by then. */
  readonly atMs: number | undefined
  /** How many commits back along the first parents. */
  readonly back: number
}

/** More commits back than anybody counts; there is `@{time}` for those. */
const MAX_BACK = 100_000

/** `master`, `master^`, `master^2` (two back), `master@{2026-11-13}`, `{2026-11-13}`, `master@{2026-11-13T10:00Z}^`. Throws CommitNotFound. */
export function parseRevision(revision: string): Revision {
  const found = /^([^^@{}]+)?(?:@?\{([^{}]*)\})?((?:\^\d*)*)$/.exec(revision)
  const [, base, time, ups = ''] = found ?? []
  if (!found || (base === undefined && time === undefined) || (base !== undefined && revision.startsWith(`${base}{`))) {
    throw new CommitNotFound(
      `${JSON.stringify(revision)} is not a revision: a branch, tag or commit, then @{2026-11-13} or another time if wanted, then any number of ^ or ^N`,
    )
  }
  let back = 0
  for (const [, digits] of ups.matchAll(/\^(\d*)/g)) back += digits === '' ? 1 : Number(digits)
  if (back > MAX_BACK) {
    throw new CommitNotFound(
      `${JSON.stringify(revision)} goes back more than ${MAX_BACK} commits: say a time, as in @{2026-11-13}`,
    )
  }
  return { base, atMs: time === undefined ? undefined : parseTime(time), back }
}
