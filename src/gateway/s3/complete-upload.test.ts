import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseBucket } from './addressing.ts'
import { readCompleteInput } from './complete-upload.ts'

describe('a Complete', () => {
  const request = { bucket: parseBucket('images'), key: 'a', query: new Map([['uploadId', '1']]), headers: {} } as never
  const part = (number: number) =>
    `<Part>\n  <ETag>&quot;e${number}&quot;</ETag><PartNumber>${number}</PartNumber></Part>\n`
  const parts = (count: number) => Array.from({ length: count }, (_, index) => part(index + 1)).join('')
  const read = (inner: string) =>
    readCompleteInput(request, Buffer.from(`<CompleteMultipartUpload>${inner}</CompleteMultipartUpload>`))

  it('of 10,000 parts is read, and of one more refused', () => {
    const input = read(parts(10_000))
    assert.deepEqual(
      [input.parts.length, input.parts.at(-1)?.number, input.parts.at(-1)?.etag],
      [10_000, 10_000, 'e10000'],
    )
    assert.throws(() => read(parts(10_001)), { code: 'MalformedXML' })
  })

  it('of no parts, or of parts out of order, is refused', () => {
    assert.throws(() => read(''), { code: 'MalformedXML' })
    assert.throws(() => read(part(2) + part(1)), { code: 'InvalidPartOrder' })
    assert.throws(() => read(part(1) + part(2) + part(1)), { code: 'InvalidPartOrder' })
    assert.throws(() => readCompleteInput(request, Buffer.alloc(0)), { code: 'MalformedXML' })
    assert.throws(() => read('<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>'), { code: 'MalformedXML' })
  })

  it('that names a part twice in a row counts it as it was named last', () => {
    const named = (etag: string) => `<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part>`
    assert.deepEqual(
      read(named('b') + named('a')).parts.map(({ number, etag }) => [number, etag]),
      [[1, 'a']],
    )
  })
})
