import type { FlushEvent } from '../../versioning/index.ts'
import { invalidArgument } from '../s3/codes.ts'
import { type Context, operation } from '../s3/operation.ts'
import { settledWithin } from '../settled-within.ts'
import { commitToFlush, flushLine, nothingToFlush } from './flush-run.ts'
import { veilEvent } from './veil.ts'

/** Proxies close what is silent for a minute; a space before a JSON line means nothing. */
const KEEP_ALIVE_MS = 15_000
/** Nobody waits for a day by accident. */
const MAX_TIMEOUT_MS = 86_400_000

/** `GET|POST /<bucket>?flush=[commit]&timeout=…&force`: JSON lines, the first what is awaited, the last the verdict. */
export const flush = operation({
  name: 'Flush',
  on: 'bucket',
  needs: 'read',
  parameters: ['timeout', 'force'],
  read: ({ bucket, query }) => ({
    bucket,
    revision: query.get('flush') || undefined,
    timeoutMs: readTimeout(query.get('timeout')),
    force: readFlag('force', query.get('force')),
  }),
  run: async ({ bucket, revision, timeoutMs, force }, context) => {
    const commit = await commitToFlush(context, bucket, revision, force)
    if (!commit) return { commit, events: streamOf(nothingToFlush) }
    const signal = context.signal()
    const events = context.versioning.flush([commit], { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
    return { commit, events: veiled(events, context) }
  },
  write: ({ commit, events }) => ({
    status: 200,
    headers: {
      'Content-Type': 'application/x-ndjson',
      'Cache-Control': 'no-store',
      ...(commit ? { 'x-sluice-repo': commit.repo, 'x-sluice-commit': commit.commit } : {}),
    },
    body: lines(events),
  }),
})

async function* streamOf(events: readonly FlushEvent[]): AsyncGenerator<FlushEvent> {
  yield* events
}

async function* veiled(events: AsyncIterable<FlushEvent>, context: Context): AsyncGenerator<FlushEvent> {
  for await (const event of events) yield veilEvent(event, context)
}

async function* lines(events: AsyncIterable<FlushEvent>): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]()
  try {
    let next = iterator.next()
    for (;;) {
      const settled = await settledWithin(next, KEEP_ALIVE_MS)
      if (!settled) {
        yield ' '
        continue
      }
      const { value } = settled
      if (value.done) return
      yield `${JSON.stringify(flushLine(value.value))}\n`
      next = iterator.next()
    }
  } finally {
    await iterator.return?.()
  }
}

/** A name alone, or with `true`. */
function readFlag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false
  if (text === '' || text === 'true') return true
  throw invalidArgument(name, text.slice(0, 100), `${name} is true or false`)
}

/** `30`, `30s`, `5m`, `500ms`: without a unit, seconds. */
function readTimeout(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(text)
  const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'] ?? 1000
  const ms = match ? Math.round(Number(match[1]) * unitMs) : Number.NaN
  if (ms <= MAX_TIMEOUT_MS) return ms
  throw invalidArgument(
    'timeout',
    text.slice(0, 100),
    'timeout is a number of seconds, or one with ms, s, m or h; a day at most',
  )
}
