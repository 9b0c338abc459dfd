import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Lru } from './lru.ts'

describe('Lru', () => {
  it('lets go what was used longest ago, by weight, and never what was just put in', () => {
    const lru = new Lru<string, number>(10, (weight) => weight)
    lru.set('a', 4)
    lru.set('b', 4)
    assert.equal(lru.get('a'), 4)
    assert.deepEqual(lru.set('c', 4), [4])
    assert.deepEqual([lru.get('a'), lru.get('b'), lru.get('c')], [4, undefined, 4])
    assert.deepEqual(lru.set('d', 50), [4, 4])
    assert.equal(lru.get('d'), 50)
    lru.delete('d')
    lru.set('e', 10)
    assert.deepEqual([...lru.values()], [10])
  })
})
