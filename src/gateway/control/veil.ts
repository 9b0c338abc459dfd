import type { FlushEvent } from '../../versioning/index.ts'
import type { Context } from '../s3/operation.ts'

const HIDDEN = 'not shown: ask somebody who may read this repo'

interface Told {
  readonly repo: string
  readonly failure?: { readonly reason: string }
  readonly reason?: string
}

/** A flush tells how each commit ends that follows from it, and why only of repos that the caller may read: reasons quote what is in them. */
function veil<T extends Told>(item: T, context: Pick<Context, 'may'>): T {
  if (context.may('read', item.repo as Parameters<Context['may']>[1])) return item
  return {
    ...item,
    ...(item.failure === undefined ? {} : { failure: { ...item.failure, reason: HIDDEN } }),
    ...(item.reason === undefined ? {} : { reason: HIDDEN }),
  }
}

export function veilEvent(event: FlushEvent, context: Pick<Context, 'may'>): FlushEvent {
  switch (event.kind) {
    case 'waiting':
      return { ...event, commits: event.commits.map((commit) => veil(commit, context)) }
    case 'ended':
      return { ...event, commit: veil(event.commit, context) }
    case 'verdict':
      return { ...event, branches: event.branches.map((branch) => veil(branch, context)) }
  }
}

/** The same for the document that all callers share. */
export function veilDocument<T extends { readonly branches: readonly Told[]; readonly commits: readonly Told[] }>(
  document: T,
  context: Pick<Context, 'may'>,
): T {
  return {
    ...document,
    branches: document.branches.map((branch) => veil(branch, context)),
    commits: document.commits.map((commit) => veil(commit, context)),
  }
}

/** `repo@commit:path`, of repos that the caller may read. */
export function visibleInputs(inputs: readonly string[], context: Pick<Context, 'may'>): readonly string[] {
  return inputs.filter((input) => context.may('read', input.split('@', 1)[0] as Parameters<Context['may']>[1]))
}
