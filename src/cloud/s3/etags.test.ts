import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { surelyMd5 } from './etags.ts'

describe('the ETag of an object of S3', () => {
  const md5 = '9e107d9d372bb6826bd81d3542a419d6'

  it('is its MD5 where nothing, or S3 itself, encrypts it', () => {
    assert.equal(surelyMd5(md5, {}, 'bucket'), md5)
    assert.equal(surelyMd5(md5, { ServerSideEncryption: 'AES256' }, 'bucket'), md5)
  })

  it('may be anything else where Amazon says so', () => {
    for (const by of ['aws:kms', 'aws:kms:dsse'])
      assert.equal(surelyMd5(md5, { ServerSideEncryption: by }, 'b'), undefined)
    assert.equal(surelyMd5(md5, { SSECustomerAlgorithm: 'AES256' }, 'bucket'), undefined)
    assert.equal(surelyMd5(`${md5}-2`, {}, 'bucket'), undefined)
    assert.equal(surelyMd5(md5, {}, 'bucket--usw2-az1--x-s3'), undefined)
  })
})
