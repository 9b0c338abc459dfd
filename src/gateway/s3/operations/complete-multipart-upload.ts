import { MIB } from '../../../kernel/index.ts'
import { settledWithin } from '../../settled-within.ts'
import { algorithms, checksumHeaders } from '../checksums.ts'
import { completeUpload, readCompleteInput } from '../complete-upload.ts'
import { errorDocument } from '../error-document.ts'
import { toS3Error } from '../errors.ts'
import { keepAlive } from '../keep-alive.ts'
import { operation, type Reply } from '../operation.ts'
import type { ObjectRequest } from '../request.ts'
import { commitHeaders, newVersionHeader } from '../write-headers.ts'
import { document, leaf, XML_HEAD } from '../xml.ts'

/** Clients give up after some 60 s of silence; past this the answer begins, and spaces keep it alive. */
const PATIENCE_MS = 5_000

type Completed = Awaited<ReturnType<typeof completeUpload>>

export const completeMultipartUpload = operation({
  name: 'CompleteMultipartUpload',
  on: 'object',
  needs: 'write',
  // 10,000 parts with an ETag and a checksum each, indented.
  documentBytes: 4 * MIB,
  documentKind: 'note',
  read: readCompleteInput,
  run: async (input, context) => {
    const work = completeUpload(input, context)
    // A client that is gone before the answer begins leaves nobody to tell of a failure: it is not to end the process.
    work.catch(() => undefined)
    const quick = await settledWithin(work, PATIENCE_MS)
    return quick
      ? ({ kind: 'done', done: quick.value } as const)
      : ({ kind: 'working', work, requestId: context.requestId } as const)
  },
  write: (output, request): Reply => {
    if (output.kind === 'done') {
      const { done } = output
      return {
        status: 200,
        headers: {
          'Content-Type': 'application/xml',
          ...newVersionHeader(done.result),
          ...commitHeaders(done.at, done.result.commit),
        },
        body: XML_HEAD + resultDocument(done, request),
      }
    }
    return {
      status: 200,
      headers: { 'Content-Type': 'application/xml' },
      body: keepAlive(
        output.work.then(
          (done) => resultDocument(done, request),
          (error: unknown) => errorDocument(toS3Error(error), request).slice(XML_HEAD.length),
        ),
        PATIENCE_MS,
      ),
    }
  },
})

function resultDocument({ result }: Completed, request: ObjectRequest): string {
  const { checksum } = result
  return document(
    'CompleteMultipartUploadResult',
    leaf('Location', `/${request.bucket.text}/${request.key}`),
    leaf('Bucket', request.bucket.text),
    leaf('Key', request.key),
    leaf('ETag', `"${result.etag}"`),
    checksum ? leaf(algorithms[checksum.algorithm].element, checksum.value) : '',
    leaf('ChecksumType', checksum && checksumHeaders(checksum)['x-amz-checksum-type']),
  ).slice(XML_HEAD.length)
}
