import { MergeConflict, parseBranchName, type Versioning } from '../../index.ts'
import type { Engine, EngineExtension, EngineSight } from './engine.ts'
import { type Answer, id, type Operation } from './machine.ts'

/** Merges and what takes commits back, asked of the engine. */
export const graphOfEngine: EngineExtension = (engine, operation) => {
  const { versioning } = engine
  if (operation.do === 'merge') {
    const { at, from, resolve } = operation
    const message = `merge ${from}`
    return namingConflicts(async () => {
      const input = { message, ...(resolve ? { resolve: { all: resolve } } : {}) }
      const done = await versioning.merges.merge(engine.line(at), engine.commit(from), input)
      return done.kind === 'merged' ? { merged: id(done.commit.id) } : { contained: id(done.head) }
    })
  }
  if (operation.do === 'revert') {
    const { at, commit, mainline } = operation
    return namingConflicts(async () => {
      const input = { message: `revert ${commit}`, ...(mainline === undefined ? {} : { mainline }) }
      const done = await versioning.merges.revert(engine.line(at), engine.commit(commit), input)
      if (done.kind === 'reverted') return { reverted: id(done.commit.id) }
      return { unchanged: done.head === undefined ? null : id(done.head) }
    })
  }
  if (operation.do === 'moveBranch') return moveBranch(engine, operation)
  if (operation.do === 'protect') {
    return versioning
      .protectBranch(engine.line({ branch: operation.branch }), operation.on)
      .then((branch) => branch.protected)
  }
  if (operation.do === 'createTag') {
    return versioning.commitTags
      .create(engine.repo, parseBranchName(operation.tag), engine.commit(operation.commit))
      .then(({ kind }) => kind)
  }
  if (operation.do === 'deleteTag') {
    return versioning.commitTags.delete(engine.repo, parseBranchName(operation.tag)).then(() => 'deleted')
  }
  if (operation.do === 'gc') return collect(engine)
  return undefined
}

async function moveBranch(engine: Engine, { branch, to }: Extract<Operation, { do: 'moveBranch' }>): Promise<Answer> {
  const { kind, left } = await engine.versioning.moveBranch(engine.line({ branch }), engine.commit(to))
  return { kind, left: left === undefined ? null : id(left) }
}

/** At once, without the time in which clients may still come for what went. */
async function collect({ versioning }: Engine): Promise<Answer> {
  for await (const _event of versioning.maintenance.gc({ graceMs: 0 })) {
    // What it did is not to be seen.
  }
  return null
}

export const graphSights: EngineSight = (engine, question) => {
  const { versioning, repo, names } = engine
  switch (question.see) {
    case 'mergeBase':
      return versioning.merges
        .mergeBases(repo, engine.commit(question.one), engine.commit(question.other))
        .then((bases) => bases.map((base) => names.nameOf(base)).sort())
    case 'tags':
      return versioning.commitTags
        .list(repo)
        .then((tags) => tags.map(({ name, commit }) => ({ name, commit: id(commit) })))
    default:
      return undefined
  }
}

async function namingConflicts(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof MergeConflict)) throw error
    const paths = error.data['paths'] as Awaited<ReturnType<Versioning['merges']['preview']>>['conflicts']
    return { refused: error.code, paths: paths.map(({ path }) => path) }
  }
}
