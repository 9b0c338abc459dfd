import { errorMessage } from './errors.ts'
import type { Log } from './log.ts'

/** The content type of Prometheus' text format 0.0.4. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Labels come from closed sets (operations, codes, states), never from what a client sends. Should one slip through all the same, its
 * series from here on are counted together as `other`: memory and the scrape stay bounded.
 */
const MAX_SERIES = 2_000

/** From a cached answer to an upload that takes minutes; in seconds. */
const LATENCY_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
]

/** One number that only grows. */
export interface Counter {
  add(amount?: number): void
}

export interface Histogram {
  observe(value: number): void
}

/** Labels in the order of the family's label names, and the value. */
export type Sample = readonly [labels: readonly string[], value: number]

interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  samples(): Promise<readonly string[]> | readonly string[]
}

/** The metrics of one process. Counting is a lookup and an addition; all else is done when somebody asks for the text. */
export class Metrics {
  readonly #families = new Map<string, Family>()
  readonly #log: Pick<Log, 'warn'>

  constructor(log: Pick<Log, 'warn'>) {
    this.#log = log
  }

  /** Counters by label; the returned function finds the one to add to. `name` ends with `_total`. */
  counter(name: string, help: string, labelNames: readonly string[] = []): (...labels: string[]) => Counter {
    const series = new Series(labelNames, () => new Count())
    this.#register({
      name,
      help,
      type: 'counter',
      samples: () => series.map((labels, { value }) => [line(name, labels, value)]),
    })
    return (...labels) => series.find(labels)
  }

  /** Durations in seconds, by label. `name` ends with `_seconds`. */
  histogram(name: string, help: string, labelNames: readonly string[] = []): (...labels: string[]) => Histogram {
    const series = new Series(labelNames, () => new Buckets())
    this.#register({
      name,
      help,
      type: 'histogram',
      samples: () => series.map((labels, buckets) => buckets.lines(name, labels)),
    })
    return (...labels) => series.find(labels)
  }

  /** A value that is read when somebody asks. `counter`: what is read only grows. */
  read(
    name: string,
    help: string,
    read: () => number | readonly Sample[] | Promise<number | readonly Sample[]>,
    options: { readonly labels?: readonly string[]; readonly type?: 'gauge' | 'counter' } = {},
  ): void {
    const { labels: labelNames = [], type = 'gauge' } = options
    this.#register({
      name,
      help,
      type,
      samples: async () => {
        const found = await read()
        const samples: readonly Sample[] = typeof found === 'number' ? [[[], found]] : found
        return samples.map(([labels, value]) => line(name, labelText(labelNames, labels), value))
      },
    })
  }

  /** The text of a scrape. A value that can't be read (the disk failed) is left out and said in the log: the rest still tells. */
  async render(): Promise<string> {
    const parts: string[] = []
    for (const { name, help, type, samples } of this.#families.values()) {
      try {
        const lines = await samples()
        parts.push(`# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`)
      } catch (error) {
        this.#log.warn({ err: error, metric: name }, `a metric could not be read: ${errorMessage(error)}`)
      }
    }
    return parts.join('')
  }

  #register(family: Family): void {
    if (this.#families.has(family.name)) throw new TypeError(`the metric ${family.name} is there twice`)
    this.#families.set(family.name, family)
  }
}

/** The values of one family by their labels. */
class Series<Value> {
  readonly #names: readonly string[]
  readonly #make: () => Value
  readonly #byKey = new Map<string, { readonly labels: string; readonly value: Value }>()

  constructor(names: readonly string[], make: () => Value) {
    this.#names = names
    this.#make = make
  }

  find(labels: readonly string[]): Value {
    const key = labels.length === 1 ? labels[0]! : labels.join('\n')
    const known = this.#byKey.get(key)
    if (known) return known.value
    if (this.#byKey.size >= MAX_SERIES && labels.some((label) => label !== 'other')) {
      return this.find(labels.map(() => 'other'))
    }
    const value = this.#make()
    this.#byKey.set(key, { labels: labelText(this.#names, labels), value })
    return value
  }

  map(write: (labels: string, value: Value) => readonly string[]): string[] {
    const lines: string[] = []
    for (const { labels, value } of this.#byKey.values()) lines.push(...write(labels, value))
    return lines
  }
}

class Count implements Counter {
  value = 0
  add(amount = 1): void {
    this.value += amount
  }
}

class Buckets implements Histogram {
  readonly #counts = new Array<number>(LATENCY_BUCKETS.length + 1).fill(0)
  #sum = 0

  observe(value: number): void {
    let at = 0
    while (at < LATENCY_BUCKETS.length && value > LATENCY_BUCKETS[at]!) at++
    this.#counts[at]!++
    this.#sum += value
  }

  lines(name: string, labels: string): string[] {
    const comma = labels === '' ? '' : ','
    const lines: string[] = []
    let below = 0
    for (const [at, count] of this.#counts.entries()) {
      below += count
      const bound = at < LATENCY_BUCKETS.length ? String(LATENCY_BUCKETS[at]) : '+Inf'
      lines.push(line(`${name}_bucket`, `${labels}${comma}le="${bound}"`, below))
    }
    lines.push(line(`${name}_sum`, labels, this.#sum), line(`${name}_count`, labels, below))
    return lines
  }
}

function labelText(names: readonly string[], values: readonly string[]): string {
  return names.map((name, index) => `${name}="${escapeLabel(values[index] ?? '')}"`).join(',')
}

function line(name: string, labels: string, value: number): string {
  return `${name}${labels === '' ? '' : `{${labels}}`} ${numberText(value)}\n`
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}
