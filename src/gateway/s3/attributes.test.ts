import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readAttributes } from './attributes.ts'

const encodingOf = (value: string) => readAttributes({ 'content-encoding': value }).contentEncoding

describe('Content-Encoding', () => {
  it('is kept as it was written', () => {
    for (const value of ['gzip', 'deflate, gzip', 'deflate,gzip', 'br ,  gzip']) assert.equal(encodingOf(value), value)
  })

  it('loses aws-chunked, wherever it stands and however it is written', () => {
    for (const value of ['gzip, aws-chunked', 'aws-chunked,gzip', 'AWS-Chunked, gzip, aws-chunked']) {
      assert.equal(encodingOf(value), 'gzip')
    }
    assert.equal(encodingOf('aws-chunked, deflate, gzip'), 'deflate, gzip')
    assert.equal(encodingOf('aws-chunked'), undefined)
    assert.equal(encodingOf('aws-chunked, aws-chunked'), undefined)
  })

  it('keeps a coding that only begins like aws-chunked', () => {
    assert.equal(encodingOf('aws-chunked-2'), 'aws-chunked-2')
  })
})
