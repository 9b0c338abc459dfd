import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canMean } from './egress-target.ts'

describe('a target that somebody writes', () => {
  const azure = 'wasbs://c@data.blob.core.windows.net/dir'

  it('is known by its normal form, and by what that is the normal form of', () => {
    assert.ok(canMean('s3://host:9000/b/dir', 's3://host:9000/b/dir'))
    assert.ok(canMean('s3://b/dir/', 's3://b/dir'))
    assert.ok(canMean('minio://host:9000/b/dir', 's3://host:9000/b/dir'))
    assert.ok(canMean('s3://b/dir', 's3://host:9000/b/dir'))
    assert.ok(canMean('gs://b/dir', 'gs://b/dir'))
    for (const url of ['wasb://c@data/dir', 'abfss://c@data.dfs.core.windows.net/dir', 'azblob://c/dir', azure])
      assert.ok(canMean(url, azure), url)
    assert.ok(canMean('abfss://c@data/dir', 'wasbs://c@data/dir'))
  })

  it('is not another one', () => {
    for (const [written, kept] of [
      ['s3://b/dir', 's3://b/other'],
      ['s3://host:9000/b/dir', 's3://other:9000/b/dir'],
      ['s3://host:9000/b/dir', 's3://b/dir'],
      ['gs://b/dir', 's3://b/dir'],
      ['wasbs://c@other/dir', azure],
      ['azblob://d/dir', azure],
    ] as const)
      assert.ok(!canMean(written, kept), `${written} ${kept}`)
  })
})
