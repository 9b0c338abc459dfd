import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Trees } from '../../versioning/index.ts'
import { matchInput } from './match.ts'

it('matching many long paths lets others have their turn', async () => {
  let turns = 0
  const counting = setInterval(() => turns++, 1)
  const trees = {
    async *walk() {
      for (let at = 0; at < 100; at++) yield { path: `${'a'.repeat(1000)}${at}`, size: 1, content: {} }
    },
  } as unknown as Trees
  const input = { kind: 'pfs', name: 'a', repo: 'a', branch: 'master', glob: `/${'*a'.repeat(40)}b`, emptyFiles: false }
  const { matches } = await matchInput(trees, input as never, { commit: 'c', root: 'r' } as never)
  clearInterval(counting)
  assert.deepEqual(matches, [])
  assert.ok(turns > 0)
})
