import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CommitId } from '../../versioning/index.ts'
import { FlushRecords } from './flush-records.ts'

const commit = 'c'.repeat(32) as CommitId

describe('the verdict of a flush', () => {
  it('is the same for who asks again right after, and made anew later', async () => {
    let nowMs = 0
    let made = 0
    const records = new FlushRecords({ now: () => nowMs })
    const get = () => records.get(commit, async () => `${++made}`)
    assert.deepEqual([await get(), await get()], ['1', '1'])
    nowMs += 60_000
    assert.equal(await get(), '2')
  })

  it('that is waited for is waited for once, however long it takes', async () => {
    let nowMs = 0
    let finish = (_text: string) => {}
    let made = 0
    const records = new FlushRecords({ now: () => nowMs })
    const make = () => {
      made++
      return new Promise<string>((resolve) => {
        finish = resolve
      })
    }
    const first = records.get(commit, make)
    nowMs += 3_600_000
    const second = records.get(commit, make)
    finish('done')
    assert.deepEqual([await first, await second, made], ['done', 'done', 1])
  })

  it('that could not be had is not kept', async () => {
    const records = new FlushRecords({ now: () => 0 })
    await assert.rejects(
      records.get(commit, async () => {
        throw new Error('the store is closed')
      }),
    )
    assert.equal(await records.get(commit, async () => 'now'), 'now')
  })
})
