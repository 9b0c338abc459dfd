import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as tick } from 'node:timers/promises'
import { eachAtOnce, localPath } from './transfer.ts'

describe('localPath', () => {
  it('puts paths of a repo below the folder', () => {
    assert.equal(localPath('/out', 'a/b.png'), '/out/a/b.png')
    assert.equal(localPath('/', 'a'), '/a')
  })

  it('refuses what would lead out of it', () => {
    for (const path of ['../a', 'a/../../b', '/etc/passwd', '..', '.', 'a/..']) {
      assert.throws(() => localPath('/out', path), /outside of \/out/, path)
    }
  })

  it('does not take a folder with the same beginning for the folder', () => {
    assert.throws(() => localPath('/out', '../outside/a'), /outside/)
  })
})

describe('eachAtOnce', () => {
  it('works on every item, several at a time and never on all of many', async () => {
    let running = 0
    let most = 0
    const seen: number[] = []
    await eachAtOnce(
      Array.from({ length: 50 }, (_, item) => item),
      async (item) => {
        most = Math.max(most, ++running)
        await tick()
        seen.push(item)
        running--
      },
    )
    assert.equal(seen.length, 50)
    assert.ok(most > 1 && most <= 8, String(most))
  })

  it('begins nothing more after a failure, and throws it when all has ended', async () => {
    let begun = 0
    let ended = 0
    const work = async (item: number) => {
      begun++
      await tick()
      ended++
      if (item === 3) throw new Error('disk on fire')
    }
    const items = Array.from({ length: 100 }, (_, item) => item)
    await assert.rejects(eachAtOnce(items, work), /disk on fire/)
    assert.ok(begun < 30, String(begun))
    assert.equal(ended, begun)
  })
})
