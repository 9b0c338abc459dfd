import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Action, Step } from './history.ts'
import { checkKey } from './linearizable.ts'

const never = Number.POSITIVE_INFINITY
const step = (from: number, to: number, action: Action): Step => ({ key: 'k', process: from, from, to, action })
const write = (value: string | null): Action => ({ kind: 'write', value })
const read = (value: string | null): Action => ({ kind: 'read', value })
const swap = (expected: string | null, value: string, ok?: boolean): Action =>
  ok === undefined ? { kind: 'swap', expected, value } : { kind: 'swap', expected, value, ok }

describe('the checker of histories', () => {
  const cases: readonly { name: string; steps: readonly Step[]; right: boolean }[] = [
    { name: 'a read of what was written before', steps: [step(1, 2, write('a')), step(3, 4, read('a'))], right: true },
    { name: 'a read of nothing after a write', steps: [step(1, 2, write('a')), step(3, 4, read(null))], right: false },
    {
      name: 'a read at the same time, of either',
      steps: [step(1, 2, write('a')), step(3, 9, write('b')), step(4, 5, read('a')), step(6, 7, read('b'))],
      right: true,
    },
    {
      name: 'a read that goes back',
      steps: [step(1, 2, write('a')), step(3, 9, write('b')), step(4, 5, read('b')), step(6, 7, read('a'))],
      right: false,
    },
    {
      name: 'a write without an answer that happened',
      steps: [step(1, never, write('a')), step(3, 4, read('a'))],
      right: true,
    },
    {
      name: 'a write without an answer that did not',
      steps: [step(1, never, write('a')), step(3, 4, read(null))],
      right: true,
    },
    {
      name: 'one that happened and was undone',
      steps: [step(1, never, write('a')), step(3, 4, read('a')), step(5, 6, read(null))],
      right: false,
    },
    {
      name: 'two swaps of nothing',
      steps: [step(1, 4, swap(null, 'a', true)), step(2, 5, swap(null, 'b', true))],
      right: false,
    },
    {
      name: 'one of two swaps of nothing',
      steps: [step(1, 4, swap(null, 'a', true)), step(2, 5, swap(null, 'b', false))],
      right: true,
    },
    { name: 'a refusal that nothing explains', steps: [step(1, 4, swap(null, 'a', false))], right: false },
    {
      name: 'a refusal by what an unanswered write left',
      steps: [step(1, never, write('x')), step(2, 4, swap(null, 'a', false))],
      right: true,
    },
    { name: 'a value that nobody wrote', steps: [step(1, 2, write('a')), step(3, 4, read('z'))], right: false },
    {
      name: 'a delete that was forgotten',
      steps: [step(1, 2, write('a')), step(3, 4, write(null)), step(5, 6, read('a'))],
      right: false,
    },
    { name: 'an unanswered swap', steps: [step(1, never, swap(null, 'a')), step(2, 3, read('a'))], right: true },
  ]
  for (const { name, steps, right } of cases) {
    it(`${right ? 'accepts' : 'refuses'} ${name}`, () => {
      assert.equal(checkKey(steps).kind, right ? 'linearizable' : 'violated')
    })
  }

  it('says what trying every order says', () => {
    const action = fc.oneof(
      fc.constantFrom(...['a', 'b', null]).map(write),
      fc.constantFrom(...['a', 'b', null]).map(read),
      fc
        .tuple(fc.constantFrom('a', null), fc.constantFrom('a', 'b'), fc.constantFrom(true, false, undefined))
        .map(([e, v, ok]) => swap(e, v, ok)),
    )
    const steps = fc.array(fc.tuple(fc.nat(20), fc.nat(20), action), { minLength: 1, maxLength: 6 }).map((list) =>
      list.map(([from, length, action], n) =>
        // Ticks are unique, as the recorder's are.
        step(
          from * 10 + n,
          action.kind === 'swap' && action.ok === undefined ? never : (from + length) * 10 + n + 0.5,
          action,
        ),
      ),
    )
    fc.assert(
      fc.property(steps, (list) => {
        assert.equal(checkKey(list).kind === 'linearizable', someOrderExplains(list, null))
      }),
      { numRuns: 2_000 },
    )
  })
})

/** Slow and plain. */
function someOrderExplains(rest: readonly Step[], state: string | null): boolean {
  if (rest.length === 0) return true
  return rest.some((next, n) => {
    if (rest.some((other, m) => m !== n && other.to < next.from)) return false
    const { action } = next
    const others = rest.filter((_, m) => m !== n)
    if (action.kind === 'read') return action.value === state && someOrderExplains(others, state)
    if (action.kind === 'write') return someOrderExplains(others, action.value)
    const holds = action.expected === state
    if (action.ok !== undefined && action.ok !== holds) return false
    return someOrderExplains(others, holds ? action.value : state)
  })
}
