import { parentPort, workerData } from 'node:worker_threads'
import { errorMessage, openSqlite, silentLog } from '../../kernel/index.ts'
import type { FsckEvent } from '../fsck.ts'
import { checkStore } from './fsck-check.ts'
import { type Mending, mend } from './fsck-repair.ts'
import { type FsckRequest, FsckRun, Stopped } from './fsck-run.ts'

/** What the worker tells: events, and at last that it is done. */
export type FsckMessage =
  | { readonly kind: 'event'; readonly event: FsckEvent }
  | { readonly kind: 'mending'; readonly mending: Mending }
  | { readonly kind: 'end'; readonly error?: string }

const request = workerData as FsckRequest
const port = parentPort!
const send = (message: FsckMessage) => port.postMessage(message)

/** Reads whole databases and packs, hashes and takes apart: all of it beside the threads that serve requests. */
async function main(): Promise<void> {
  const started = performance.now()
  const db = await openSqlite({ file: request.databaseFile, log: silentLog })
  const nodesDb = await openSqlite({ file: request.nodesFile, log: silentLog })
  const run = new FsckRun(request, { db, nodesDb, emit: (event) => send({ kind: 'event', event }) })
  port.on('message', () => {
    run.stopped = true
  })
  let stopped = false
  try {
    await checkStore(run, request.damagedPages, async (contents, found) => {
      if (request.repair) send({ kind: 'mending', mending: await mend(run, contents, found) })
    })
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
    stopped = true
  } finally {
    await db.close()
    await nodesDb.close()
  }
  const { bytesPerSecond, counts, faults, untold } = run
  const verdict = stopped ? 'stopped' : faults > 0 ? 'damaged' : 'clean'
  send({
    kind: 'event',
    event: {
      kind: 'verdict',
      verdict,
      counts,
      faults,
      untold,
      mended: run.mendings,
      elapsedMs: Math.round(performance.now() - started),
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    },
  })
}

try {
  await main()
  send({ kind: 'end' })
} catch (error) {
  send({ kind: 'end', error: errorMessage(error) })
}
port.close()
