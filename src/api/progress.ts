import { setTimeout as pause } from 'node:timers/promises'
import type { OnWork, WorkStep } from '../versioning/index.ts'
import type { WorkingJson } from './contract.ts'
import { flag } from './fields.ts'
import { type Answer, json } from './route.ts'

/** Often enough that people see that it goes on. */
const REPORT_MS = 1_000

/** The field of a body by which progress is asked for. */
export const progressField = flag(
  'Answers with JSON lines: every second a `Working` while it lasts, and as the last line what is answered otherwise.',
)

/**
 * The answer of a route whose work may last: as one document, or, where progress is wanted, as lines. The work goes on when the client is gone;
 * it may be asked again.
 */
export async function answerOf(
  progress: boolean,
  work: (onWork: OnWork) => Promise<unknown>,
  status: 200 | 201 = 200,
): Promise<Answer> {
  if (!progress) return json(await work(() => {}), status)
  return { kind: 'lines', lines: reported(work) }
}

async function* reported(work: (onWork: OnWork) => Promise<unknown>): AsyncGenerator<unknown> {
  let latest: WorkStep = { step: 'reading', done: 0 }
  const ended = new AbortController()
  const outcome = work((step) => {
    latest = step
  }).then(
    (value) => ({ kind: 'done', value }) as const,
    (error: unknown) => ({ kind: 'failed', error }) as const,
  )
  void outcome.then(() => ended.abort())
  for (;;) {
    const tick = pause(REPORT_MS, { kind: 'working' } as const, { signal: ended.signal })
    // Whatever has ended is told by its outcome, not by the pause that it cut short.
    const now = await Promise.race([outcome, tick.catch(() => outcome)])
    if (now.kind === 'failed') throw now.error
    if (now.kind === 'done') return yield now.value
    yield workingJson(latest)
  }
}

function workingJson({ step, done, total }: WorkStep): WorkingJson {
  return { kind: 'working', step, done, ...(total === undefined ? {} : { total }) }
}
