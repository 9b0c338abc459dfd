import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Target, TargetInfo } from '../versioning/index.ts'
import { Descriptions } from './descriptions.ts'

const branch = { kind: 'branch', repo: 'images', branch: 'master' } as unknown as Target
const commit = { kind: 'commit', repo: 'images', commit: 'c'.repeat(32) } as unknown as Target

/** Look-ups that end when they are told to; each gives the state of the world at its beginning. */
function world() {
  let state = 0
  const running: { end(): void; fail(): void }[] = []
  const descriptions = new Descriptions({
    describe: (target) =>
      new Promise<TargetInfo>((resolve, reject) => {
        const info = { target, commit: state, commitState: 'finished' } as unknown as TargetInfo
        running.push({ end: () => resolve(info), fail: () => reject(new Error('gone')) })
      }),
  })
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return { descriptions, running, settle, change: () => ++state }
}

describe('descriptions of a bucket', () => {
  it('asked for at once are looked up together, but never by a look-up that began before', async () => {
    const { descriptions, running, settle, change } = world()
    const first = descriptions.get(branch)
    change()
    const later = [descriptions.get(branch), descriptions.get(branch), descriptions.get(branch)]
    assert.equal(running.length, 1)
    running[0]!.end()
    await settle()
    assert.equal(running.length, 2)
    change()
    const last = descriptions.get(branch)
    running[1]!.end()
    await settle()
    running[2]!.end()
    assert.equal((await first).commit, 0)
    for (const info of await Promise.all(later)) assert.equal(info.commit, 1)
    assert.equal((await last).commit, 2)
    await settle()
    void descriptions.get(branch)
    assert.equal(running.length, 4)
  })

  it('that fail fail for those who asked, and for nobody after', async () => {
    const { descriptions, running, settle } = world()
    const first = descriptions.get(branch)
    const second = descriptions.get(branch)
    running[0]!.fail()
    await assert.rejects(first, /gone/)
    await settle()
    running[1]!.end()
    assert.equal((await second).commit, 0)
  })

  it('of a finished commit are looked up once', async () => {
    const { descriptions, running } = world()
    const first = descriptions.get(commit)
    running[0]!.end()
    await first
    await descriptions.get(commit)
    assert.equal(running.length, 1)
  })
})
