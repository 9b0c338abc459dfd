import type { WorkingJson } from '../api/contract.ts'
import type { ApiClient } from './client.ts'
import type { Output, Session } from './session.ts'

/** Where nobody looks at a terminal, a line so often at most. */
const LINE_EVERY_MS = 10_000

/** Asks for work that may last, and shows on standard error how far it is. */
export async function work<T>(session: Session, api: ApiClient, path: string, body: object): Promise<T> {
  const shown = new WorkLine(session.stderr, () => session.now())
  try {
    return await api.work<T>(path, body, (step) => shown.show(step))
  } finally {
    shown.end()
  }
}

/** One line that is drawn again and again on a terminal; elsewhere a line for each step, and now and then while it lasts. */
export class WorkLine {
  readonly #stream: Output
  readonly #now: () => number
  #step: WorkingJson['step'] | undefined
  #saidMs = 0
  #drawn = false

  constructor(stream: Output, now: () => number) {
    this.#stream = stream
    this.#now = now
  }

  show(working: WorkingJson): void {
    const text = describeWork(working)
    if (this.#stream.isTTY) {
      this.#drawn = true
      this.#stream.write(`\r${text}\x1b[K`)
      return
    }
    const now = this.#now()
    if (working.step === this.#step && now - this.#saidMs < LINE_EVERY_MS) return
    this.#step = working.step
    this.#saidMs = now
    this.#stream.write(`${text}\n`)
  }

  /** Takes the line of a terminal away. */
  end(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[K')
    this.#drawn = false
  }
}

/** How far it is, in a few words: no name of a file or branch is among them. */
export function describeWork({ step, done, total }: WorkingJson): string {
  const of = total === undefined ? '' : ` of ${total}`
  switch (step) {
    case 'reading':
      return done === 0 ? 'reading what there is' : `reading what was written lately: ${done}${of} change(s)`
    case 'merging':
      return `merging: ${done}${of} difference(s) compared`
    case 'placing':
      return `placing: ${done}${of} file(s)`
    case 'finishing':
      return 'finishing the commit'
  }
}
