/** What one key may be asked to do; null is no file. `ok` is left out where nobody heard the answer: it may have happened or not. */
export type Action =
  | { readonly kind: 'read'; readonly value: string | null }
  | { readonly kind: 'write'; readonly value: string | null }
  | { readonly kind: 'swap'; readonly expected: string | null; readonly value: string | null; readonly ok?: boolean }

/** One action on one key, from when it was asked for until it was answered, in ticks of the process that watched. */
export interface Step {
  readonly key: string
  readonly process: number
  readonly from: number
  /** Infinity: never answered. */
  readonly to: number
  readonly action: Action
}

/** A promise that was broken, in words. */
export type Violation = string

/** Writes down what clients ask and are told. Ticks only order: what was answered before another was asked has the smaller ones. */
export class Recorder {
  readonly steps: Step[] = []
  readonly violations: Violation[] = []
  #tick = 0

  tick(): number {
    return ++this.#tick
  }

  note(violation: Violation): void {
    this.violations.push(violation)
  }

  add(step: Step): void {
    this.steps.push(step)
  }

  /** By key, in the order they were asked for. */
  byKey(): Map<string, Step[]> {
    return Map.groupBy(
      this.steps.toSorted((one, other) => one.from - other.from),
      (step) => step.key,
    )
  }
}

export function describeStep({ process, from, to, action }: Step): string {
  const when = `${String(from).padStart(6)}..${to === Number.POSITIVE_INFINITY ? '     ?' : String(to).padEnd(6)}`
  const value = action.value ?? 'nothing'
  const outcome = action.kind !== 'swap' || action.ok === undefined ? '' : action.ok ? ' done' : ' refused'
  const what =
    action.kind === 'swap' ? `swap ${action.expected ?? 'nothing'} for ${value}${outcome}` : `${action.kind} ${value}`
  return `${when} process ${String(process).padStart(2)}: ${what}`
}
