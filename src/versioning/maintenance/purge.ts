import { type Database, errorMessage, faultPoint, InvalidInput } from '../../kernel/index.ts'
import type { Forgetting, TreeWork } from '../history/index.ts'
import type { GcResult } from '../maintenance.ts'
import {
  type CommitId,
  type CommitRef,
  GcRunning,
  InUse,
  parsePath,
  type RepoName,
  RepoNotFound,
} from '../model/index.ts'
import type { PurgeEvent, PurgeInput, PurgeRecord, Purges } from '../purges.ts'
import type { Collector, GcPlace } from './gc.ts'
import { purgeRows } from './purge-rows.ts'
import { PurgeTrees } from './purge-trees.ts'

/** Commits of other repos that are named. */
const MAX_NAMED = 100
const MAX_LISTED = 1_000
const MAX_REASON_BYTES = 4_096
/** Each pass finds only what was under way during the one before. */
const MAX_PASSES = 100

interface Row {
  readonly id: number
  readonly repo: string
  readonly path: string
  readonly prefix: number
  readonly reason: string
  readonly asked_by: string
  readonly asked_ms: number
  readonly finished_ms: number | null
  readonly commits: number
  readonly versions: number
}

export interface PurgePlace extends GcPlace {
  readonly treeWork: TreeWork
  readonly nodesDb: Database
  readonly forgetting: Forgetting
}

/** Purges of one store, one at a time. Everything a purge has still to do follows from its row. */
export class StorePurges implements Purges {
  readonly #place: PurgePlace
  readonly #collector: Collector
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(place: PurgePlace, collector: Collector) {
    this.#place = place
    this.#collector = collector
  }

  /** Goes on with what a crash interrupted. */
  async start(): Promise<void> {
    const unfinished = await this.#place.db.all<Row>('SELECT * FROM purges WHERE finished_ms IS NULL ORDER BY id')
    if (unfinished.length === 0) return
    this.#running = this.#goOn(unfinished).finally(() => {
      this.#running = undefined
    })
  }

  async #goOn(rows: readonly Row[]): Promise<void> {
    const { log } = this.#place
    for (const row of rows) {
      try {
        for await (const event of this.#carryOut(row, this.#stop.signal)) {
          if (event.kind === 'done') log.info({ purge: row.id, repo: row.repo }, 'a purge that was interrupted is done')
        }
      } catch (error) {
        if (this.#stop.signal.aborted) return
        log.error(
          { err: error, purge: row.id },
          `a purge is not done, it is tried again at the next start: ${errorMessage(error)}`,
        )
      }
    }
  }

  async *run(input: PurgeInput): AsyncGenerator<PurgeEvent> {
    if (this.#running) throw new GcRunning('another purge is under way: wait for its end')
    if (this.#collector.isRunning) throw new GcRunning('a collection is under way: wait for its end')
    const ended = Promise.withResolvers<void>()
    this.#running = ended.promise
    try {
      const signal = input.signal ? AbortSignal.any([this.#stop.signal, input.signal]) : this.#stop.signal
      yield* this.#carryOut(await this.#record(input), signal)
    } finally {
      this.#running = undefined
      ended.resolve()
    }
  }

  async list(): Promise<readonly PurgeRecord[]> {
    const rows = await this.#place.db.all<Row>(`SELECT * FROM purges ORDER BY id DESC LIMIT ${MAX_LISTED}`)
    return rows.map(recordOf)
  }

  async close(): Promise<void> {
    this.#stop.abort(new GcRunning('the server is being stopped: the purge goes on at the next start'))
    await this.#running
  }

  /** Asked for again before it was done, it goes on. */
  async #record({ repo, path, prefix = false, reason, by }: PurgeInput): Promise<Row> {
    parsePath(path)
    if (reason.trim() === '' || Buffer.byteLength(reason) > MAX_REASON_BYTES) {
      throw new InvalidInput(
        `a purge needs a reason, of at most ${MAX_REASON_BYTES} bytes: it stays when the files are gone`,
      )
    }
    const row = await this.#place.db.write(async (tx) => {
      if (!(await tx.get('SELECT 1 FROM repos WHERE name = ?', [repo]))) throw new RepoNotFound(repo)
      const working = await tx.get<{ pipeline: string }>(
        `SELECT c.pipeline FROM commits AS c INDEXED BY commits_unfinished
         WHERE c.finished_ms IS NULL AND c.kind = 'derived' AND (c.repo = ?1
           OR EXISTS (SELECT 1 FROM provenance AS p WHERE p.commit_id = c.id AND p.upstream_repo = ?1)) LIMIT 1`,
        [repo],
      )
      if (working) {
        throw new InUse(`pipeline ${working.pipeline} is at work with ${repo}: wait for its jobs, or kill them`, {
          by: [working.pipeline],
        })
      }
      const same = await tx.get<Row>(
        'SELECT * FROM purges WHERE repo = ? AND path = ? AND prefix = ? AND finished_ms IS NULL',
        [repo, path, prefix ? 1 : 0],
      )
      return (
        same ??
        (await tx.get<Row>(
          'INSERT INTO purges (repo, path, prefix, reason, asked_by, asked_ms) VALUES (?, ?, ?, ?, ?, ?) RETURNING *',
          [repo, path, prefix ? 1 : 0, reason, by, this.#place.clock.now()],
        ))
      )
    })
    return row!
  }

  async *#carryOut(row: Row, signal: AbortSignal): AsyncGenerator<PurgeEvent> {
    const { db, leases, clock, sources, forgetting } = this.#place
    const purged = { repo: row.repo, path: row.path, prefix: row.prefix === 1 }
    faultPoint('purge.begin')
    const hold = leases.hold()
    const trees = new PurgeTrees(this.#place, purged, signal, hold)
    let versions = row.versions
    try {
      for (let pass = 0, clean = 0; clean < 2; pass++) {
        if (pass === MAX_PASSES) throw new InUse(`${row.repo} is written to all the time: stop it, and purge again`)
        versions += await purgeRows(db, purged, signal)
        yield { kind: 'progress', phase: 'versions', done: versions }
        const rewritten = await trees.pass()
        yield { kind: 'progress', phase: 'trees', done: trees.commits.size }
        // Trees that were being made from what was there before: once they are there, they are looked at as well.
        clean = rewritten === 0 ? clean + 1 : 0
        await leases.settled(signal)
      }
    } finally {
      forgetting.forget()
      hold.end()
    }
    await db.write(async (tx) => {
      for (const sql of sources.flatMap(({ purged: statements = [] }) => statements)) await tx.run(sql, [row.repo])
      await tx.run('UPDATE purges SET commits = commits + ?, versions = ? WHERE id = ?', [
        trees.commits.size,
        versions,
        row.id,
      ])
    })
    faultPoint('purge.collect')
    let gc: GcResult | undefined
    for await (const event of this.#collector.run({ graceMs: 0, thorough: true, signal })) {
      if (event.kind === 'done') gc = event
      else yield { kind: 'progress', phase: 'content', done: event.done }
    }
    if (gc!.damagedPacks.length > 0) {
      throw new InUse(
        `the files are out of ${row.repo}, but their bytes may still be in ${gc!.damagedPacks.length} damaged pack(s): sluice fsck --repair, then purge once more`,
        { packs: gc!.damagedPacks },
      )
    }
    faultPoint('purge.scrub')
    const scrubbed = performance.now()
    yield* this.#scrub(signal)
    const scrubMs = Math.round(performance.now() - scrubbed)
    faultPoint('purge.end')
    await db.write((tx) => tx.run('UPDATE purges SET finished_ms = ? WHERE id = ?', [clock.now(), row.id]))
    const record = await db.get<Row>('SELECT * FROM purges WHERE id = ?', [row.id])
    yield {
      kind: 'done',
      purge: recordOf(record!),
      ...(await this.#derived(row.repo, trees.commits)),
      reclaimedBytes: gc!.reclaimedBytes,
      scrubMs,
    }
  }

  /** Rows that are gone leave their bytes in the databases' files and logs. */
  async *#scrub(signal: AbortSignal): AsyncGenerator<PurgeEvent> {
    const { db, nodesDb, gate } = this.#place
    for (const [done, database] of [db, nodesDb].entries()) {
      yield { kind: 'progress', phase: 'databases', done }
      if (await gate.removing(() => database.scrub(), signal)) continue
      throw new InUse(
        'the files are gone, but a log may still hold bytes of them: somebody reads the database all the time (a backup, or a check). Purge once more when that has ended',
      )
    }
  }

  async #derived(
    repo: string,
    commits: ReadonlySet<string>,
  ): Promise<{ readonly derived: readonly CommitRef[]; readonly derivedTotal: number }> {
    const rows = await this.#place.db.all<{ id: string; repo: string }>(
      `SELECT DISTINCT c.id, c.repo FROM json_each(?) AS held CROSS JOIN provenance AS p ON p.upstream_id = held.value
       CROSS JOIN commits AS c ON c.id = p.commit_id WHERE c.repo <> ? ORDER BY c.number`,
      [JSON.stringify([...commits]), repo],
    )
    return {
      derived: rows.slice(0, MAX_NAMED).map((row) => ({ repo: row.repo as RepoName, commit: row.id as CommitId })),
      derivedTotal: rows.length,
    }
  }
}

function recordOf(row: Row): PurgeRecord {
  return {
    id: row.id,
    repo: row.repo as RepoName,
    path: row.path,
    prefix: row.prefix === 1,
    reason: row.reason,
    by: row.asked_by,
    askedMs: row.asked_ms,
    ...(row.finished_ms !== null && { finishedMs: row.finished_ms }),
    commits: row.commits,
    versions: row.versions,
  }
}
