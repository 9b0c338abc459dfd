import assert from 'node:assert/strict'
import { it } from 'node:test'
import { contentTypeOf } from './content-types.ts'

it('contentTypeOf knows pictures and tables by their extension, whatever its case', () => {
  assert.equal(contentTypeOf('a/b.PNG'), 'image/png')
  assert.equal(contentTypeOf('a.csv'), 'text/csv')
  assert.equal(contentTypeOf('png'), undefined)
})
