import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { headerBytes, readAttributes } from './attributes.ts'

const encodingOf = (value: string) => readAttributes({ 'content-encoding': value }).contentEncoding

describe('a header that is no ASCII', () => {
  const kept = (value: string) => readAttributes({ 'x-amz-meta-a': value }).metadata['a'] ?? ''

  it('is UTF-8 where it can be, and comes back byte by byte whatever it is', () => {
    assert.equal(kept(Buffer.from('grün 😀').toString('latin1')), 'grün 😀')
    const bytes = Array.from({ length: 128 }, (_, index) => String.fromCharCode(128 + index)).join('')
    const replacement = Buffer.from('\ufffd').toString('latin1')
    for (const value of ['caf\xe9', bytes, replacement, Buffer.from('\uf7e9 ü').toString('latin1'), '\xc3', 'plain']) {
      assert.equal(headerBytes(kept(value)), value)
      // As it is stored.
      assert.equal(headerBytes(Buffer.from(kept(value)).toString()), value)
    }
  })
})

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
