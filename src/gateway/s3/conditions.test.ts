import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { evaluateConditions, readConditions, readWriteConditions } from './conditions.ts'
import { readRange, resolveRange } from './ranges.ts'

describe('a range', () => {
  const resolve = (header: string, size = 10) => {
    const claim = readRange(header)
    return claim && resolveRange(claim, size)
  }

  it('has a first and last byte, a first byte, or a length from the end', () => {
    assert.deepEqual(resolve('bytes=0-0'), { start: 0, end: 1 })
    assert.deepEqual(resolve('bytes=2-5'), { start: 2, end: 6 })
    assert.deepEqual(resolve('bytes=2-500'), { start: 2, end: 10 })
    assert.deepEqual(resolve('bytes=9-'), { start: 9, end: 10 })
    assert.deepEqual(resolve('bytes=-3'), { start: 7, end: 10 })
    assert.deepEqual(resolve('bytes=-30'), { start: 0, end: 10 })
  })

  it('that can not be satisfied is refused, with the size', () => {
    for (const header of ['bytes=10-', 'bytes=10-20', 'bytes=-0']) {
      assert.throws(() => resolve(header), { code: 'InvalidRange', headers: { 'Content-Range': 'bytes */10' } }, header)
    }
    for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
      assert.throws(() => resolve(header, 0), { code: 'InvalidRange' }, header)
    }
  })

  it('that is malformed, of another unit or several is no range', () => {
    for (const header of [
      'bytes=5-2',
      'bytes=a-b',
      'bytes=-',
      'items=0-1',
      'bytes=0-1,3-4',
      'bytes=',
      '0-1',
      'bytes=1-2-3',
    ]) {
      assert.equal(resolve(header), undefined, header)
    }
  })
})

describe('conditions of a read', () => {
  const entry = { etag: 'abc', modifiedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) }
  const at = 'Fri, 02 Jan 2026 03:04:05 GMT'
  const before = 'Fri, 02 Jan 2026 03:04:04 GMT'
  const verdict = (headers: Record<string, string>) => evaluateConditions(readConditions(headers), entry).kind

  it('hold or not by ETag and by whole seconds', () => {
    assert.equal(verdict({}), 'go')
    assert.equal(verdict({ 'if-match': '"abc"' }), 'go')
    assert.equal(verdict({ 'if-match': 'abc' }), 'go')
    assert.equal(verdict({ 'if-match': '"x", "abc"' }), 'go')
    assert.equal(verdict({ 'if-match': '*' }), 'go')
    assert.equal(verdict({ 'if-match': '"x"' }), 'failed')
    assert.equal(verdict({ 'if-none-match': '"abc"' }), 'notModified')
    assert.equal(verdict({ 'if-none-match': '"x"' }), 'go')
    assert.equal(verdict({ 'if-modified-since': at }), 'notModified')
    assert.equal(verdict({ 'if-modified-since': before }), 'go')
    assert.equal(verdict({ 'if-unmodified-since': at }), 'go')
    assert.equal(verdict({ 'if-unmodified-since': before }), 'failed')
    assert.equal(verdict({ 'if-modified-since': 'yesterday' }), 'go')
  })

  it('by ETag count more than those by time', () => {
    assert.equal(verdict({ 'if-match': '"abc"', 'if-unmodified-since': before }), 'go')
    assert.equal(verdict({ 'if-none-match': '"x"', 'if-modified-since': at }), 'go')
  })
})

describe('conditions of a write', () => {
  it('are one ETag or any object at all; a list is refused, not ignored', () => {
    assert.equal(readWriteConditions({}), undefined)
    assert.deepEqual(readWriteConditions({ 'if-none-match': '*' }), { ifNoneMatch: '*' })
    assert.deepEqual(readWriteConditions({ 'if-match': '"abc"' }), { ifMatch: 'abc' })
    assert.deepEqual(readWriteConditions({ 'if-none-match': '"abc"' }), { ifNoneMatch: 'abc' })
    assert.deepEqual(readWriteConditions({ 'if-match': '*' }), { ifMatch: '*' })
    for (const headers of [{ 'if-none-match': '"a", "b"' }, { 'if-match': '"a", "b"' }]) {
      assert.throws(() => readWriteConditions(headers), { code: 'NotImplemented' })
    }
    assert.throws(() => readWriteConditions({ 'if-none-match': '*', 'if-match': 'a' }), { code: 'InvalidRequest' })
  })
})
