import type { Queries } from '../kernel/index.ts'
import type { LogFiles } from './logs/index.ts'
import type { LogLine, LogQuery } from './pipelines.ts'
import { endedStates, findJob, type JobRow, recentJobs } from './store/index.ts'

/** Jobs whose logs are read where no job is named: the newest ones. */
const MAX_JOBS = 100
/** A notification may be missed. */
const POLL_MS = 500

/** Reads the logs of one job, or of the newest jobs, oldest first; goes on with what comes if asked to. */
export async function* readLogs(
  context: { db: Queries; logs: LogFiles },
  query: LogQuery,
  job: JobRow | undefined,
): AsyncGenerator<LogLine> {
  const readers = new Map<string, ReturnType<LogFiles['reader']>>()
  const ended = new Set<string>()
  for (;;) {
    const change = nextChange(context.logs, query.signal)
    try {
      const jobs = job ? [await findJob(context.db, job.id)] : await newestJobs(context.db, query.pipeline)
      for (const current of jobs) {
        if (!current || ended.has(current.id)) continue
        const reader = readers.get(current.id) ?? context.logs.reader(current.id, query.datum)
        readers.set(current.id, reader)
        for await (const line of reader.read()) {
          if (query.signal?.aborted) return
          if (query.contains !== undefined && !line.text.includes(query.contains)) continue
          yield { ...line, pipeline: current.pipeline, job: current.id }
        }
        // It had ended before it was read, so that nothing more can come.
        if (endedStates.has(current.state)) ended.add(current.id)
      }
      if (!query.follow || query.signal?.aborted || (job && ended.has(job.id))) return
      await change.promise
    } finally {
      change.cancel()
    }
  }
}

async function newestJobs(db: Queries, pipeline: string | undefined): Promise<readonly JobRow[]> {
  const jobs = await recentJobs(db, { ...(pipeline !== undefined && { pipeline }), limit: MAX_JOBS })
  return jobs.toReversed()
}

function nextChange(logs: LogFiles, signal: AbortSignal | undefined): { promise: Promise<void>; cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, POLL_MS)
  const stop = logs.onChange(resolve)
  const onAbort = () => resolve()
  signal?.addEventListener('abort', onAbort)
  return {
    promise,
    cancel: () => {
      clearTimeout(timer)
      stop()
      signal?.removeEventListener('abort', onAbort)
    },
  }
}
