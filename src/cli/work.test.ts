import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, it } from 'node:test'
import type { WorkingJson } from '../api/contract.ts'
import { describeWork, WorkLine } from './work.ts'

const at = (step: WorkingJson['step'], done: number, total?: number): WorkingJson => ({
  kind: 'working',
  step,
  done,
  ...(total === undefined ? {} : { total }),
})

describe('what is said of work that lasts', () => {
  it('is one line on a terminal, drawn again and taken away at the end', () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true })
    const line = new WorkLine(stream, () => 0)
    line.show(at('merging', 20_000))
    line.show(at('merging', 40_000))
    line.end()
    line.end()
    const shown = [20_000, 40_000].map((done) => `\r${describeWork(at('merging', done))}\x1b[K`)
    assert.equal(String(stream.read()), `${shown.join('')}\r\x1b[K`)
  })

  it('is a line for each step elsewhere, and one now and then while a step lasts', () => {
    let nowMs = 0
    const stream = new PassThrough()
    const line = new WorkLine(stream, () => nowMs)
    const steps = [at('reading', 0), at('reading', 1, 9), at('placing', 5), at('placing', 6), at('placing', 7)]
    for (const step of steps) {
      line.show(step)
      nowMs += 6_000
    }
    line.show(at('finishing', 7))
    line.end()
    assert.deepEqual(String(stream.read()).split('\n'), [
      'reading what there is',
      'placing: 5 file(s)',
      'placing: 7 file(s)',
      'finishing the commit',
      '',
    ])
  })

  it('names how much there is where that is known', () => {
    assert.equal(
      describeWork(at('reading', 20_000, 90_000)),
      'reading what was written lately: 20000 of 90000 change(s)',
    )
  })
})
