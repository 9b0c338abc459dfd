import { constants, type FileHandle, open } from 'node:fs/promises'
import { errorMessage, InvalidConfig } from './errors.ts'
import { MIB } from './limits.ts'
import type { Log } from './log.ts'

/**
 * Lines that wait while the disk is behind. Past it they are lost and counted: a log must never make requests wait, nor take the memory
 * that they need.
 */
const MAX_WAITING_BYTES = 4 * MIB
/** How often the loss of lines is said in the log. */
const COMPLAIN_EVERY_MS = 60_000

/** One request, as it ended. No secret and no query is ever in it: a query may hold a signature. */
export interface AccessEntry {
  /** ISO 8601 in UTC, when it began. */
  readonly time: string
  readonly door: 's3' | 'api'
  readonly requestId: string
  readonly remote: string
  /** Name of the key that signed it; left out if nobody did, or wrongly. */
  readonly user?: string
  readonly accessKeyId?: string
  readonly method: string
  /** As the registry names it; for the API the route, `GET /v1/repos/:repo`. */
  readonly operation: string
  readonly bucket?: string
  readonly key?: string
  /** Where there is neither bucket nor key to say: decoded, without the query. */
  readonly path?: string
  readonly status: number
  /** The code of the error that was answered. */
  readonly error?: string
  readonly bytesIn: number
  readonly bytesOut: number
  readonly ms: number
  /** The connection ended before the answer did. */
  readonly cut?: true
  readonly commit?: string
  readonly userAgent?: string
}

/** Where requests are noted, one JSON line for each. */
export interface AccessLog {
  readonly enabled: boolean
  /** Never waits and never throws. */
  write(entry: AccessEntry): void
  /** Lines that could not be kept since the start. */
  readonly lost: number
  /** Goes on in a new file of the same name: the old one was moved away. */
  reopen(): Promise<void>
  /** Resolves when all is written. */
  close(): Promise<void>
}

/** Keeps nothing: the access log is off. */
export const noAccessLog: AccessLog = {
  enabled: false,
  lost: 0,
  write: () => {},
  reopen: async () => {},
  close: async () => {},
}

/** Takes text and resolves when it is passed on. */
interface Sink {
  write(text: string): Promise<void>
  reopen(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the access log at `target`: a file, which is made if it is not there (mode 0600: it says who read what), `-` for standard
 * output, or `off`. Throws InvalidConfig for a file that can't be opened.
 */
export async function openAccessLog(
  target: string,
  options: { readonly log: Pick<Log, 'warn'>; readonly stdout?: NodeJS.WritableStream },
): Promise<AccessLog> {
  if (target === 'off') return noAccessLog
  const sink = target === '-' ? streamSink(options.stdout ?? process.stdout) : await fileSink(target)
  return new QueuedLog(sink, options.log)
}

/** Whatever came while the last write ran goes out with the next one. */
class QueuedLog implements AccessLog {
  readonly enabled = true
  lost = 0
  readonly #sink: Sink
  readonly #log: Pick<Log, 'warn'>
  #waiting = ''
  #working: Promise<void> | undefined
  #reopen = false
  #torn = false
  #complainedMs = Number.NEGATIVE_INFINITY

  constructor(sink: Sink, log: Pick<Log, 'warn'>) {
    this.#sink = sink
    this.#log = log
  }

  write(entry: AccessEntry): void {
    if (this.#waiting.length > MAX_WAITING_BYTES) {
      this.#lose(1, new Error('lines come faster than they can be written'))
      return
    }
    this.#waiting += formatLine(entry)
    this.#working ??= this.#work()
  }

  async reopen(): Promise<void> {
    this.#reopen = true
    this.#working ??= this.#work()
    await this.#working
  }

  async close(): Promise<void> {
    await this.#working
    await this.#sink.close()
  }

  async #work(): Promise<void> {
    // What the same turn of the event loop brings goes along.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#waiting !== '' || this.#reopen) {
      const reopen = this.#reopen
      const text = this.#waiting
      this.#waiting = ''
      this.#reopen = false
      try {
        // A write that failed half way must not spoil the line after it.
        if (text !== '') await this.#sink.write(this.#torn ? `\n${text}` : text)
        this.#torn = false
        if (reopen) await this.#sink.reopen()
      } catch (error) {
        this.#torn = true
        this.#lose(text.split('\n').length - 1, error)
      }
    }
    this.#working = undefined
  }

  #lose(lines: number, error: unknown): void {
    this.lost += lines
    const nowMs = performance.now()
    if (nowMs - this.#complainedMs < COMPLAIN_EVERY_MS) return
    this.#complainedMs = nowMs
    this.#log.warn({ err: error, lost: this.lost }, `the access log loses lines: ${errorMessage(error)}`)
  }
}

const terminalControls = /[\x7f-\x9f\u2028\u2029]/g

/** JSON has escapes for line ends and the lower controls; a terminal that shows the file must not act on the others either. */
function formatLine(entry: AccessEntry): string {
  const json = JSON.stringify(entry)
  return `${json.replace(terminalControls, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}

async function fileSink(path: string): Promise<Sink> {
  const openFile = (): Promise<FileHandle> =>
    open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600)
  let file: FileHandle
  try {
    file = await openFile()
  } catch (error) {
    throw new InvalidConfig([`SLUICE_ACCESS_LOG=${path} can't be written: ${errorMessage(error)}`])
  }
  return {
    write: (text) => file.appendFile(text),
    reopen: async () => {
      const next = await openFile()
      const last = file
      file = next
      await last.close()
    },
    close: () => file.close(),
  }
}

/** Standard output is not ours to close. */
function streamSink(stream: NodeJS.WritableStream): Sink {
  // A reader that goes away must not end the server; the failed write below says it.
  stream.on('error', () => {})
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => (error ? reject(error) : resolve()))
      }),
    reopen: async () => {},
    close: async () => {},
  }
}
