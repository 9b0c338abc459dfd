import type { Action, Step } from './history.ts'

/** Far more than any history of these suites needs: one that takes more is reported as undecided, which is a failure too. */
const MAX_TRIES = 5_000_000

export type Verdict =
  | { readonly kind: 'linearizable' }
  /** No order of the steps explains what was answered; the steps around the last answer that none could explain. */
  | { readonly kind: 'violated'; readonly around: readonly Step[] }
  | { readonly kind: 'undecided' }

/** A call or a return, in a list from which steps are taken and put back. */
interface Event {
  readonly index: number
  readonly isCall: boolean
  previous: Event | undefined
  next: Event | undefined
  /** Of a call. */
  match: Event | undefined
}

/**
 * Whether there is an order of all steps of one key, each at some moment between its call and its return, in which every answer is right.
 * The search of Wing and Gong with Lowe's memory of what was tried: G. Lowe, Testing for linearizability, 2017.
 */
export function checkKey(steps: readonly Step[], initial: string | null = null): Verdict {
  const head = eventsOf(steps)
  const done = new Uint8Array(steps.length)
  const tried = new Set<string>()
  const taken: { call: Event; before: string | null }[] = []
  let state = initial
  let event = head.next
  let furthest = 0
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (head.next === undefined) return { kind: 'linearizable' }
    if (event?.isCall) {
      const next = after(state, steps[event.index]!.action)
      if (next !== undefined) {
        done[event.index] = 1
        const key = `${keyOf(done)} ${next}`
        if (!tried.has(key)) {
          tried.add(key)
          taken.push({ call: event, before: state })
          state = next
          take(event)
          event = head.next
          continue
        }
        done[event.index] = 0
      }
      event = event.next
      continue
    }
    // A return of what was not explained yet, or the end: the last choice was wrong.
    if (event) furthest = Math.max(furthest, steps[event.index]!.to)
    const last = taken.pop()
    if (!last) return { kind: 'violated', around: around(steps, furthest) }
    done[last.call.index] = 0
    state = last.before
    putBack(last.call)
    event = last.call.next
  }
  return { kind: 'undecided' }
}

/** What the key holds after the action, or undefined if its answer can't be right now. */
function after(state: string | null, action: Action): string | null | undefined {
  switch (action.kind) {
    case 'read':
      return state === action.value ? state : undefined
    case 'write':
      return action.value
    case 'swap': {
      const holds = state === action.expected
      if (action.ok === undefined) return holds ? action.value : state
      if (action.ok !== holds) return undefined
      return action.ok ? action.value : state
    }
  }
}

function eventsOf(steps: readonly Step[]): Event {
  const head: Event = { index: -1, isCall: false, previous: undefined, next: undefined, match: undefined }
  const points = steps.flatMap((step, index) => [
    { at: step.from, index, isCall: true },
    { at: step.to, index, isCall: false },
  ])
  points.sort((one, other) => (one.at === other.at ? 0 : one.at < other.at ? -1 : 1))
  const calls = new Map<number, Event>()
  let last = head
  for (const { index, isCall } of points) {
    const event: Event = { index, isCall, previous: last, next: undefined, match: undefined }
    if (isCall) calls.set(index, event)
    else calls.get(index)!.match = event
    last.next = event
    last = event
  }
  return head
}

function take(call: Event): void {
  for (const event of [call, call.match!]) {
    event.previous!.next = event.next
    if (event.next) event.next.previous = event.previous
  }
}

function putBack(call: Event): void {
  for (const event of [call.match!, call]) {
    event.previous!.next = event
    if (event.next) event.next.previous = event
  }
}

function keyOf(done: Uint8Array): string {
  return Buffer.from(done.buffer).toString('latin1')
}

function around(steps: readonly Step[], tick: number): readonly Step[] {
  return steps.filter(({ from, to }) => from <= tick && (to >= tick - 60 || to === Number.POSITIVE_INFINITY)).slice(-12)
}
