import { Readable } from 'node:stream'
import { MergeConflict, parseBranchName, type Versioning } from '../../index.ts'
import { tarOf } from '../tar.ts'
import type { Engine, EngineExtension, EngineSight } from './engine.ts'
import { type Answer, id, type Operation } from './machine.ts'
import { textOf } from './state.ts'

/** Merges and what takes commits back, asked of the engine. */
export const graphOfEngine: EngineExtension = (engine, operation) => {
  const { versioning } = engine
  if (operation.do === 'merge') {
    const { at, from, resolve, paths } = operation
    const message = `merge ${from}`
    return namingConflicts(async () => {
      const decided = { ...(resolve ? { all: resolve } : {}), ...(paths ? { paths } : {}) }
      const input = { message, resolve: decided }
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
  if (operation.do === 'moveFiles') return moveFiles(engine, operation)
  if (operation.do === 'import') return importFiles(engine, operation)
  if (operation.do === 'gc') return collect(engine, operation.alongside)
  return undefined
}

async function moveBranch(engine: Engine, { branch, to }: Extract<Operation, { do: 'moveBranch' }>): Promise<Answer> {
  const { kind, left } = await engine.versioning.moveBranch(engine.line({ branch }), engine.commit(to))
  return { kind, left: left === undefined ? null : id(left) }
}

async function moveFiles(engine: Engine, { at, from, to, force }: Extract<Operation, { do: 'moveFiles' }>) {
  const placed = await engine.versioning.moves.move(engine.line(at), { from, to, force, message: `move ${from}` })
  return { moved: id(placed.commit.id), files: placed.files, bytes: placed.sizeBytes }
}

async function importFiles(
  engine: Engine,
  { at, prefix, files }: Extract<Operation, { do: 'import' }>,
): Promise<Answer> {
  const archive = tarOf(...Object.entries(files).map(([name, body]) => ({ name, body: textOf(body) })))
  const received = await engine.versioning.imports.receive(engine.line(at), Readable.from([archive]), { prefix })
  for await (const event of received.land()) {
    if (event.kind !== 'imported') continue
    const { commit, added, changed, unchanged } = event
    return { imported: id(commit.id), added, changed, unchanged }
  }
  throw new Error('an import ended without a result')
}

/** Between what is marked and what is swept: what is written then is neither. */
const SWEEP_AFTER_MS = 200

/** Without the time in which clients may still come for what went. */
async function collect(engine: Engine, alongside: boolean): Promise<Answer> {
  const run = async () => {
    for await (const _event of engine.versioning.maintenance.gc({ graceMs: alongside ? SWEEP_AFTER_MS : 0 })) {
      // What it did is not to be seen.
    }
  }
  // One at a time.
  await engine.rest()
  if (alongside) engine.goOn(run())
  else await run()
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
