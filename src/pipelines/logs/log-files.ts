import { EventEmitter } from 'node:events'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { type Clock, errnoOf, KIB, type Log, MIB } from '../../kernel/index.ts'

export type LogStream = 'stdout' | 'stderr' | 'system'

export interface StoredLine {
  readonly atMs: number
  readonly datum?: string
  readonly stream: LogStream
  readonly text: string
}

/** More of one datum is cut, and the log says so. */
export const MAX_LOG_BYTES = 10 * MIB
/** Longer lines are broken. */
const MAX_LINE = 32 * KIB
const READ_BYTES = 256 * KIB
const letters: Readonly<Record<LogStream, string>> = { stdout: 'o', stderr: 'e', system: 's' }
const streams: Readonly<Record<string, LogStream>> = { o: 'stdout', e: 'stderr', s: 'system' }
/** The file of what the engine itself says about a job. */
const JOB_FILE = 'job.log'

/**
 * Logs of user code: a folder per job, in it a file per datum that said anything, in it a line `<ms> <o|e|s> <text>` each. They
 * are not fsynced: a crash of the machine may lose the last seconds of a log, never a result.
 */
export class LogFiles {
  readonly #folder: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #changes = new EventEmitter().setMaxListeners(0)

  constructor(options: { folder: string; clock: Clock; log: Log }) {
    this.#folder = options.folder
    this.#clock = options.clock
    this.#log = options.log
  }

  /** Takes what one datum (or, without one, the engine) says; to be closed. */
  writer(job: string, datum?: string): LogWriter {
    const folder = join(this.#folder, job)
    return new LogWriter({
      folder,
      file: join(folder, datum ? `${datum}.log` : JOB_FILE),
      clock: this.#clock,
      log: this.#log,
      onWritten: () => this.#changes.emit('change'),
    })
  }

  /** One line of the engine about a job. */
  async say(job: string, text: string): Promise<void> {
    const writer = this.writer(job)
    writer.system(text)
    await writer.close()
  }

  onChange(listener: () => void): () => void {
    this.#changes.on('change', listener)
    return () => this.#changes.off('change', listener)
  }

  /** Reads a job's log, the engine's lines first; asked again, it goes on where it was. `datum` may be a prefix of an id. */
  reader(job: string, datum?: string): LogReader {
    return new LogReader(join(this.#folder, job), datum)
  }

  async delete(job: string): Promise<void> {
    await rm(join(this.#folder, job), { recursive: true, force: true })
  }
}

interface WriterOptions {
  readonly folder: string
  readonly file: string
  readonly clock: Clock
  readonly log: Log
  readonly onWritten: () => void
}

/** Lines are queued and written one batch after the other; the queue is bounded by the size that a log may have. */
export class LogWriter {
  readonly #options: WriterOptions
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  readonly #partial = { stdout: '', stderr: '' }
  #queued: string[] = []
  #bytes = 0
  #cut = false
  #writing: Promise<void> | undefined

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Bytes as user code wrote them. */
  write(stream: 'stdout' | 'stderr', bytes: Buffer): void {
    if (this.#cut) return
    const text = this.#partial[stream] + this.#decoders[stream].write(bytes)
    const lines = text.split('\n')
    this.#partial[stream] = lines.pop() ?? ''
    for (const line of lines) this.#line(stream, line.endsWith('\r') ? line.slice(0, -1) : line)
    if (this.#partial[stream].length > MAX_LINE) {
      this.#line(stream, this.#partial[stream])
      this.#partial[stream] = ''
    }
    this.#flush()
  }

  system(text: string): void {
    for (const line of text.split('\n')) this.#line('system', line)
    this.#flush()
  }

  /** Writes what is left. A log that can't be written is not worth failing a job for: it is only reported. */
  async close(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#partial[stream] + this.#decoders[stream].end()
      this.#partial[stream] = ''
      if (rest) this.#line(stream, rest)
    }
    this.#flush()
    while (this.#writing) await this.#writing
  }

  #line(stream: LogStream, text: string): void {
    for (let at = 0; at === 0 || at < text.length; at += MAX_LINE) this.#push(stream, text.slice(at, at + MAX_LINE))
  }

  #push(stream: LogStream, text: string): void {
    if (this.#cut && stream !== 'system') return
    const line = `${this.#options.clock.now()} ${letters[stream]} ${text}\n`
    this.#bytes += Buffer.byteLength(line)
    this.#queued.push(line)
    if (this.#bytes <= MAX_LOG_BYTES || this.#cut) return
    this.#cut = true
    this.#queued.push(
      `${this.#options.clock.now()} s the log is cut here: it has more than ${MAX_LOG_BYTES / MIB} MiB\n`,
    )
  }

  #flush(): void {
    if (this.#writing || this.#queued.length === 0) return
    this.#writing = this.#writeQueued()
      .catch((error: unknown) => {
        this.#queued = []
        this.#options.log.warn({ err: error, file: this.#options.file }, 'a log could not be written')
      })
      .finally(() => {
        this.#writing = undefined
        this.#options.onWritten()
        this.#flush()
      })
  }

  async #writeQueued(): Promise<void> {
    const text = this.#queued.join('')
    this.#queued = []
    let file: FileHandle
    try {
      file = await open(this.#options.file, 'a')
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await mkdir(this.#options.folder, { recursive: true })
      file = await open(this.#options.file, 'a')
    }
    try {
      await file.appendFile(text)
    } finally {
      await file.close()
    }
  }
}

/** Follows the log files of one job. */
export class LogReader {
  readonly #folder: string
  readonly #datum: string | undefined
  readonly #offsets = new Map<string, number>()

  constructor(folder: string, datum: string | undefined) {
    this.#folder = folder
    this.#datum = datum
  }

  /** What was written since the last call; whole lines only. */
  async *read(): AsyncGenerator<StoredLine> {
    for (const name of await this.#files()) {
      const datum = name === JOB_FILE ? undefined : name.slice(0, -'.log'.length)
      yield* this.#readFile(name, datum)
    }
  }

  async #files(): Promise<readonly string[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      // Nobody has said anything yet.
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    })
    if (this.#datum !== undefined)
      return names.filter((name) => name !== JOB_FILE && name.startsWith(this.#datum ?? ''))
    // The job's own lines say how it ended: they come after what its datums wrote.
    return names.sort((a, b) => Number(a === JOB_FILE) - Number(b === JOB_FILE) || (a < b ? -1 : 1))
  }

  async *#readFile(name: string, datum: string | undefined): AsyncGenerator<StoredLine> {
    const file = await open(join(this.#folder, name), 'r')
    try {
      for (;;) {
        const offset = this.#offsets.get(name) ?? 0
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, offset)
        const end = buffer.subarray(0, bytesRead).lastIndexOf(10)
        if (end < 0) return
        this.#offsets.set(name, offset + end + 1)
        for (const line of buffer.toString('utf8', 0, end).split('\n')) {
          const parsed = parseLine(line, datum)
          if (parsed) yield parsed
        }
      }
    } finally {
      await file.close()
    }
  }
}

function parseLine(line: string, datum: string | undefined): StoredLine | undefined {
  const match = /^(\d+) ([oes]) (.*)$/su.exec(line)
  if (!match) return undefined
  const [, atMs, letter = '', text = ''] = match
  return { atMs: Number(atMs), stream: streams[letter] ?? 'system', text, ...(datum !== undefined && { datum }) }
}
