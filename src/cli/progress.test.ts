import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { progressLine } from './progress.ts'

const state = { label: 'photos/a.png', done: 5 * 1024 ** 2, total: 10 * 1024 ** 2, elapsedMs: 1000, columns: 100 }

describe('progressLine', () => {
  it('shows share, amounts and rate', () => {
    assert.equal(progressLine(state), 'photos/a.png   50% [============            ] 5 MiB of 10 MiB  5 MiB/s')
  })

  it('never gets wider than the terminal', () => {
    for (let columns = 1; columns < 120; columns++) {
      assert.ok(progressLine({ ...state, columns }).length <= columns, String(columns))
    }
  })

  it('claims no share of a pipe', () => {
    assert.equal(progressLine({ ...state, total: undefined }), 'photos/a.png  5 MiB  5 MiB/s')
  })

  it('is full for an empty file', () => {
    assert.match(progressLine({ ...state, done: 0, total: 0 }), /100%/)
  })
})
