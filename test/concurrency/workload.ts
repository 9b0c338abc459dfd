/** Writers and readers of one branch, whose writes keep what a reader can hold them to. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Action, Recorder } from './history.ts'
import { etagOf, type Page, type System, UPLOADED } from './system.ts'

/** Keys that everybody writes: few, so that writers meet. */
const SHARED_KEYS = 6
const COUNTERS = 2
/** Files of one set: written by a transaction or a merge, and deleted together. */
const SET_SIZE = 5
const STAIRS = 8
/** Each is looked at by readers from then on; the newest few are enough. */
const REMEMBERED_COMMITS = 20

export interface WorkloadOptions {
  readonly system: System
  readonly recorder: Recorder
  readonly random: () => number
  /** Of each writer. */
  readonly rounds: number
  readonly writers: number
  readonly readers: number
  /** Of a reader, after each look. Without one, readers of an engine in this process take it from the writers that they are to watch. */
  readonly restMs?: number
  /** Set where the server may be killed: an answer that never came is no failure then. */
  readonly mayBreak?: boolean
}

/** Values of all steps, by the ETag that a listing or a copy shows of them. */
type Values = Map<string, string>

export class Workload {
  readonly #options: WorkloadOptions
  readonly #values: Values = new Map()
  readonly #commits: string[] = []
  readonly #heads: { from: number; to: number; commit: string }[] = []
  /** Swaps of each counter that were done, and those of which nobody knows. */
  readonly counters = Array.from({ length: COUNTERS }, () => ({ done: 0, maybe: 0 }))
  readonly #heights = new Map<number, number>()
  readonly #contents = new Map<string, string>()
  #serial = 0
  #writing = 0

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  /** Resolves when all writers have done their rounds; may be called again after a restart. */
  async run(signal?: AbortSignal): Promise<void> {
    const { writers, readers, rounds, restMs = 0 } = this.#options
    const roles = [
      this.#stairs,
      this.#transactions,
      this.#count,
      this.#transactions,
      this.#stairs,
      this.#count,
      this.#commit,
      this.#merges,
    ]
    this.#writing = writers
    const write = async (process: number) => {
      const role = roles[process] ?? this.#shared
      for (let round = 0; round < rounds && !signal?.aborted; round++) {
        await this.#attempt(() => role.call(this, process, round))
        if (role !== this.#shared && round % 2 === 0) await this.#attempt(() => this.#shared(process))
      }
      this.#writing--
    }
    const read = async (process: number) => {
      while (this.#writing > 0 && !signal?.aborted) {
        await this.#attempt(() => this.#read(process))
        if (restMs > 0) await sleep(restMs)
      }
    }
    await Promise.all([
      ...Array.from({ length: writers }, (_, n) => write(n)),
      ...Array.from({ length: readers }, (_, n) => read(writers + n)),
    ])
  }

  /** Reads every key once more, so that a write that was lost is missed. */
  async settle(): Promise<void> {
    for (const key of this.#sharedKeys()) await this.#get(0, key)
    for (const [n, { done, maybe }] of this.counters.entries()) {
      const found = Number((await this.#options.system.get(`count/${n}`)) ?? 0)
      if (found < done || found > done + maybe) {
        this.#options.recorder.note(`counter ${n} is ${found}, after ${done} swaps that were done and ${maybe} unknown`)
      }
    }
    await this.#readPages(0)
    await this.#checkHeads()
    const commits = await this.#options.system.log()
    for (const commit of commits.slice(0, REMEMBERED_COMMITS)) await this.#readCommit(commit)
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#options.mayBreak) throw error
    }
  }

  // Shared keys: every step is recorded and checked later.

  #sharedKeys(): string[] {
    return Array.from({ length: SHARED_KEYS }, (_, n) => `shared/${n}`)
  }

  #value(process: number, kind = ''): string {
    const value = `${kind}p${process}-${++this.#serial}`
    this.#values.set(etagOf(value), value)
    return value
  }

  async #step<Result>(
    process: number,
    key: string,
    unknown: Action,
    work: () => Promise<Result>,
    heard: (result: Result) => Action,
  ): Promise<Result> {
    const { recorder } = this.#options
    const from = recorder.tick()
    try {
      const result = await work()
      recorder.add({ key, process, from, to: recorder.tick(), action: heard(result) })
      return result
    } catch (error) {
      // A read that was not answered says nothing.
      if (unknown.kind !== 'read') recorder.add({ key, process, from, to: Number.POSITIVE_INFINITY, action: unknown })
      throw error
    }
  }

  #get(process: number, key: string): Promise<string | null> {
    const { system } = this.#options
    return this.#step(
      process,
      key,
      { kind: 'read', value: null },
      () => system.get(key),
      (value) => ({ kind: 'read', value }),
    )
  }

  async #swap(process: number, key: string, expected: string | null, value: string): Promise<boolean> {
    const { system } = this.#options
    const swap = { kind: 'swap', expected, value } as const
    return this.#step(
      process,
      key,
      swap,
      () => system.put(key, value, { expected }),
      (ok) => ({ ...swap, ok }),
    )
  }

  async #shared(process: number): Promise<void> {
    const { system, random } = this.#options
    const key = `shared/${Math.floor(random() * SHARED_KEYS)}`
    const choice = random()
    const value = this.#value(process)
    const write = { kind: 'write', value } as const
    if (choice < 0.25)
      await this.#step(
        process,
        key,
        write,
        () => system.put(key, value),
        () => write,
      )
    else if (choice < 0.32) {
      const uploaded = { kind: 'write', value: this.#value(process, UPLOADED) } as const
      await this.#step(
        process,
        key,
        uploaded,
        () => system.upload(key, uploaded.value),
        () => uploaded,
      )
    } else if (choice < 0.42) {
      const gone = { kind: 'write', value: null } as const
      await this.#step(
        process,
        key,
        gone,
        () => system.remove(key),
        () => gone,
      )
    } else if (choice < 0.55) await this.#swap(process, key, null, value)
    else if (choice < 0.75) {
      const held = await this.#get(process, key)
      if (held !== null) await this.#swap(process, key, held, value)
    } else if (choice < 0.82) await this.#copy(process, key, `shared/${Math.floor(random() * SHARED_KEYS)}`)
    else await this.#get(process, key)
  }

  /** A read of one key and a write of another, each at some moment of the same time. */
  async #copy(process: number, from: string, to: string): Promise<void> {
    const { system, recorder, mayBreak } = this.#options
    // Of one that is not answered nobody knows what it wrote.
    if (from === to || mayBreak) return
    const begun = recorder.tick()
    const etag = await system.copy(from, to)
    const ended = recorder.tick()
    const value = etag === null ? null : (this.#values.get(etag) ?? `a value with ETag ${etag}, which nobody wrote`)
    recorder.add({ key: from, process, from: begun, to: ended, action: { kind: 'read', value } })
    if (value !== null) recorder.add({ key: to, process, from: begun, to: ended, action: { kind: 'write', value } })
  }

  // Counters: no update may be lost.

  async #count(process: number): Promise<void> {
    const n = process % COUNTERS
    const key = `count/${n}`
    const counter = this.counters[n]!
    const held = await this.#options.system.get(key)
    counter.maybe++
    // Until it is answered: a reader may see it before.
    const done = await this.#options.system.put(key, String(Number(held ?? 0) + 1), { expected: held })
    counter.maybe--
    if (done) counter.done++
  }

  // Stairs: one file after the other becomes one byte longer, so that in any one view no step is higher than the one before.

  async #stairs(process: number): Promise<void> {
    const height = (this.#heights.get(process) ?? 0) + 1
    for (let step = 0; step < STAIRS; step++) {
      await this.#options.system.put(`stairs${process}/${step}`, 'x'.repeat(height))
    }
    // What a kill cut off is done again, at the same height.
    this.#heights.set(process, height)
  }

  #checkStairs(page: Page, where: string): void {
    const sizes = page.files.map(({ size }) => size)
    const isTorn = sizes.some((size, n) => n > 0 && size > sizes[n - 1]!) || sizes[0]! - sizes.at(-1)! > 1
    const isGap = page.files.some(({ key }, n) => !key.endsWith(`/${n}`))
    if (sizes.length > 0 && (isTorn || isGap)) {
      this.#options.recorder.note(
        `a torn page of ${where}: ${page.files.map(({ key, size }) => `${key}=${size}`).join(' ')}`,
      )
    }
  }

  // Sets: all files of one are written and deleted together.

  async #transactions(process: number, round: number): Promise<void> {
    const { system } = this.#options
    const files = this.#set(process)
    if (round % 3 === 2) await system.removeMany([...files.keys()])
    else await system.transaction(`p${process}-${++this.#serial}`, files)
  }

  async #merges(process: number): Promise<void> {
    const { system } = this.#options
    if (system.merge) await system.merge(`m${++this.#serial}`, this.#set(process))
    else await this.#shared(process)
  }

  #set(process: number): Map<string, string> {
    const value = `set ${++this.#serial}`
    return new Map(Array.from({ length: SET_SIZE }, (_, n) => [`set${process}/${n}`, value]))
  }

  #checkSet(files: Page['files'], where: string): void {
    const etags = new Set(files.map(({ etag }) => etag))
    if (files.length === 0 || (files.length === SET_SIZE && etags.size === 1)) return
    this.#options.recorder.note(
      `half of a set in ${where}: ${files.map(({ key, etag }) => `${key}=${etag.slice(0, 6)}`).join(' ')}`,
    )
  }

  // Commits, and who reads.

  async #commit(_process: number, round: number): Promise<void> {
    const commit = await this.#options.system.commit(`commit ${round}`)
    if (commit === undefined) return
    this.#commits.push(commit)
    if (this.#commits.length > REMEMBERED_COMMITS) this.#commits.shift()
  }

  async #read(process: number): Promise<void> {
    const { recorder, random, system } = this.#options
    await this.#get(process, `shared/${Math.floor(random() * SHARED_KEYS)}`)
    await this.#readPages(process)
    const from = recorder.tick()
    const head = await system.head()
    if (head !== undefined) this.#heads.push({ from, to: recorder.tick(), commit: head })
    const commit = this.#commits[Math.floor(random() * this.#commits.length)] ?? head
    if (commit !== undefined) await this.#readCommit(commit)
  }

  async #readPages(_process: number): Promise<void> {
    const { system, random } = this.#options
    for (const owner of [0, 4]) {
      if (random() < 0.7)
        this.#checkStairs(await system.page({ prefix: `stairs${owner}/`, limit: 100 }), `stairs ${owner}`)
    }
    for (const owner of [1, 3, 7]) {
      const { files } = await system.page({ prefix: `set${owner}/`, limit: 100 })
      this.#checkSet(files, `the branch, set ${owner}`)
    }
  }

  /** A commit never changes, and has all or nothing of a set, over however many pages. */
  async #readCommit(commit: string): Promise<void> {
    const { system } = this.#options
    for (const owner of [1, 3, 7]) {
      const files: Page['files'][number][] = []
      let after: string | undefined
      do {
        const page: Page = await system.page({ prefix: `set${owner}/`, limit: 2, commit, ...(after ? { after } : {}) })
        files.push(...page.files)
        after = page.next
      } while (after !== undefined && files.length < 100)
      this.#checkSet(files, `commit ${commit}, set ${owner}`)
    }
    for (const owner of [0, 4]) {
      this.#checkStairs(await system.page({ prefix: `stairs${owner}/`, limit: 100, commit }), `commit ${commit}`)
    }
    const text = JSON.stringify((await system.page({ prefix: 'shared/', limit: 100, commit })).files)
    const before = this.#contents.get(commit) ?? text
    if (before !== text) this.#options.recorder.note(`commit ${commit} was ${before} and is ${text}`)
    this.#contents.set(commit, text)
  }

  /** Who asked after another was answered sees the same head or a later one. */
  async #checkHeads(): Promise<void> {
    const log = (await this.#options.system.log()).toReversed()
    const places = new Map(log.map((commit, place) => [commit, place]))
    const seen = this.#heads.map((head) => ({ ...head, place: places.get(head.commit) ?? -1 }))
    for (const { commit, place } of seen) {
      if (place < 0) this.#options.recorder.note(`commit ${commit} was the head and is not in the log`)
    }
    const byEnd = seen.toSorted((one, other) => one.to - other.to)
    let furthest = -1
    let ended = 0
    for (const head of seen.toSorted((one, other) => one.from - other.from)) {
      while (ended < byEnd.length && byEnd[ended]!.to < head.from) furthest = Math.max(furthest, byEnd[ended++]!.place)
      if (head.place < furthest) this.#options.recorder.note(`the head went back to ${head.commit}`)
    }
  }
}
