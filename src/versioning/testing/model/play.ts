import { setTimeout as sleep } from 'node:timers/promises'
import { DomainError } from '../../../kernel/index.ts'
import { parseRepoName } from '../../index.ts'
import { difference, Names } from './compare.ts'
import type { EngineExtension, EngineSight } from './engine.ts'
import { Engine, type Underneath } from './engine.ts'
import { type Draw, operationOf, paths } from './histories.ts'
import { type Answer, describeOperation, type Operation, type Place, type Question } from './machine.ts'
import { type Extension, Reference } from './reference.ts'

/** Pairs of commits that are compared with one another at the end. */
const MAX_PAIRS = 30

/** A machine may be busy; an engine that takes longer waits for something that does not come. */
const SLOWEST_MS = 60_000

export interface Beyond {
  readonly tally?: Map<string, number>
  readonly reference?: readonly Extension[]
  readonly engine?: readonly EngineExtension[]
  readonly sights?: readonly EngineSight[]
}

/** One history, played on the engine and on the reference side by side. */
export class Play {
  readonly reference: Reference
  readonly engine: Engine
  readonly #names = new Names()
  readonly #beyond: Beyond
  readonly #trace: string[] = []
  /** How often each operation was done, and refused in which way. */
  readonly #tally: Map<string, number>

  constructor(store: Underneath, repo: string, beyond: Beyond = {}) {
    this.#beyond = beyond
    this.#tally = beyond.tally ?? new Map()
    this.reference = new Reference(beyond.reference)
    this.engine = new Engine(store, parseRepoName(repo), this.#names, {
      ...(beyond.engine ? { extensions: beyond.engine } : {}),
      ...(beyond.sights ? { sights: beyond.sights } : {}),
    })
  }

  /** Throws with the history so far where the two differ. */
  async run(draws: readonly Draw[], clock: { now: number }): Promise<void> {
    await this.step({ do: 'createBranch', branch: 'b0' }, clock)
    let unseen: Operation | undefined
    for (const [index, draw] of draws.entries()) {
      const operation = operationOf(this.reference, draw)
      if (!operation) continue
      // What was to come next, and need nothing finished, could not be done.
      if (unseen && operation.do !== 'crash' && !writes.has(operation.do)) await this.#checkAll(this.#near(unseen))
      await this.step(operation, clock)
      unseen = isPassedOver(draw, draws[index + 1]) ? operation : undefined
      if (!unseen) await this.#checkAll(this.#near(operation))
    }
    await this.checkEverything()
  }

  async step(operation: Operation, clock: { now: number }): Promise<void> {
    this.#trace.push(describeOperation(operation))
    const expected = this.reference.do(operation)
    clock.now = this.reference.state.now
    const found = await this.#soon(this.engine.do(operation), 'the last step')
    const differs = difference(this.#names, expected, found)
    if (differs !== undefined) this.#fail(differs)
    this.#trace.push(`    ${JSON.stringify(expected)}`)
    this.#count(operation, expected)
  }

  #count(operation: Operation, answer: Answer): void {
    const shape =
      answer !== null && typeof answer === 'object' && !Array.isArray(answer) ? Object.entries(answer)[0] : []
    const outcome =
      shape?.[0] === 'refused' ? String(shape[1]) : ['contained', 'unchanged'].find((word) => word === shape?.[0])
    const name = outcome === undefined ? operation.do : `${operation.do} ${outcome}`
    this.#tally.set(name, (this.#tally.get(name) ?? 0) + 1)
  }

  async checkEverything(): Promise<void> {
    await this.#checkAll([...this.#lines().flatMap((at) => wholePlace(at)), ...this.#history()])
  }

  async #checkAll(questions: readonly Question[]): Promise<void> {
    await this.#soon(this.engine.rest(), 'what went on beside it')
    await this.#soon(this.#settle(), 'finishing its commits')
    for (const question of questions) {
      const expected = this.reference.see(question)
      const found = await this.#soon(this.engine.see(question), JSON.stringify(question))
      const differs = difference(this.#names, expected, found)
      if (differs !== undefined) this.#fail(`${JSON.stringify(question)}: ${differs}`)
    }
  }

  /** What a step may have changed, and a little beside it. */
  #near(operation: Operation): Question[] {
    const questions: Question[] = [{ see: 'branches' }]
    const at: Place | undefined = 'at' in operation ? operation.at : undefined
    const branch = 'branch' in operation ? operation.branch : at && 'branch' in at ? at.branch : undefined
    for (const line of this.#lines()) {
      if (!('branch' in line) || (line.branch !== branch && branch !== undefined)) continue
      questions.push({ see: 'list', at: line, page: 1000 })
      questions.push(...paths.map((path): Question => ({ see: 'file', at: line, path })))
      if (line.transaction === undefined) questions.push({ see: 'versions', at: line, page: 1000 })
    }
    if (branch !== undefined) questions.push({ see: 'log', branch }, { see: 'transactions', branch })
    return questions
  }

  #history(): Question[] {
    const { state } = this.reference
    if (state.branches.size === 0) return []
    const commits = [...state.commits.keys()]
    const questions: Question[] = ['b0', 'b1', 'b2'].map((branch) => ({ see: 'log', branch }))
    for (const commit of commits) {
      const at = { commit }
      questions.push({ see: 'commit', commit }, { see: 'list', at, page: 2 }, { see: 'versions', at, page: 3 })
      questions.push({ see: 'diff', before: 'empty', after: commit }, { see: 'ancestor', of: commit, steps: 1 })
    }
    if (this.#beyond.sights) {
      questions.push({ see: 'tags' })
      for (const tag of state.tags.keys()) questions.push({ see: 'list', at: { tag }, page: 1000 })
      const finished = commits.filter((commit) => state.commits.get(commit)!.finished).slice(-5)
      for (const one of finished) for (const other of finished) questions.push({ see: 'mergeBase', one, other })
    }
    const pairs = commits.flatMap((before) => commits.map((after) => [before, after] as const))
    const every = Math.max(1, Math.ceil(pairs.length / MAX_PAIRS))
    for (const [index, [before, after]] of pairs.entries()) {
      if (index % every === 0)
        questions.push({ see: 'diff', before, after }, { see: 'diff', before, after, prefix: 'a/' })
    }
    return questions
  }

  #lines(): Place[] {
    const transactions = [...this.reference.state.transactions.keys()].map((key) => {
      const [transaction, branch] = key.split('.')
      return { branch: branch!, transaction: transaction! }
    })
    return [...[...this.reference.state.branches.keys()].map((branch) => ({ branch })), ...transactions]
  }

  /** Waits until every sealed commit is finished, so that heads stand still. */
  async #settle(): Promise<void> {
    const { versioning, repo } = this.engine
    if (this.reference.state.branches.size === 0) return
    const commits = await versioning.listCommits(repo)
    for (const { id, state } of commits) if (state === 'sealed') await versioning.waitForCommit(id)
  }

  /** What the engine does not answer is told with its history, as a wrong answer is. */
  async #soon<Result>(answer: Promise<Result>, what: string): Promise<Result> {
    const limit = new AbortController()
    const late = sleep(SLOWEST_MS, undefined, { signal: limit.signal }).then(() => this.#fail(`no answer to ${what}`))
    try {
      return await Promise.race([
        answer.catch((error: unknown) => this.#fail(`${what} threw ${String(error)}`, error)),
        late,
      ])
    } finally {
      limit.abort()
      await late.catch(() => {
        // Nobody waits for it any more.
      })
    }
  }

  #fail(why: string, cause?: unknown): never {
    const stack = cause instanceof Error && !(cause instanceof DomainError) ? `\n${cause.stack}` : ''
    throw new Error(`${why}${stack}\n\nthe history:\n${this.#trace.map((line) => `  ${line}`).join('\n')}`)
  }
}

/** What asks for nothing that has to be finished. */
const writes: ReadonlySet<Operation['do']> = new Set([
  'put',
  'upload',
  'delete',
  'deleteMany',
  'seal',
  'startCommit',
  'finishCommit',
  'rename',
])

/** To look is to wait until commits are finished, and a collection is over: a kill is to come before that, and often the next writes. */
function isPassedOver({ kind, choices }: Draw, next: Draw | undefined): boolean {
  if (!next) return false
  if (next.kind === 'crash') return true
  return writes.has(next.kind) && (kind === 'gc' || (choices.at(-1) ?? 0) % 2 === 0)
}

function wholePlace(at: Place): Question[] {
  const lists: Question[] = [1, 2, 1000].map((page) => ({ see: 'list', at, page }))
  for (const page of [1, 1000]) {
    lists.push({ see: 'list', at, delimiter: '/', page }, { see: 'list', at, prefix: 'a/', delimiter: '/', page })
    lists.push({ see: 'list', at, prefix: 'a', page }, { see: 'list', at, delimiter: 'b', page })
  }
  lists.push(...paths.map((path): Question => ({ see: 'file', at, path })))
  if ('branch' in at && at.transaction !== undefined) return lists
  return [
    ...lists,
    ...[1, 2].map((page): Question => ({ see: 'versions', at, page })),
    { see: 'versions', at, prefix: 'a/', page: 1000 },
  ]
}
