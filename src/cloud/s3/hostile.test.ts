import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { StoreRejected, StoreUnreachable } from '../object-store.ts'
import { openAt, putOne, taken, withServer } from '../testing/scripted-s3.ts'
import type { AskedRequest, Reply } from '../testing/scripted-server.ts'

/** Looked at one by one, each with all that follows, they would take minutes. */
const MANY = 100_000

const document = (body: string): Reply => ({ headers: { 'content-type': 'application/xml' }, body })
const listed = (...keys: string[]) =>
  document(
    `<ListBucketResult><IsTruncated>true</IsTruncated>${keys
      .map((key) => `<Contents><Key>${key}</Key><Size>1</Size><ETag>"x"</ETag></Contents>`)
      .join('')}</ListBucketResult>`,
  )

describe('a store of S3 that means ill', () => {
  it('does not hold this process up by what comes before the root of a document', async () => {
    const body = `${'<!DOCTYPE a>'.repeat(MANY)}<Error><Code>SlowDown</Code></Error>`
    await withServer(
      () => ({ status: 503, headers: { 'content-type': 'application/xml' }, body }),
      async (store) => {
        await assert.rejects(store.list(), StoreRejected)
      },
      1,
    )
  })

  it('does not keep an upload asking for parts that never end', async () => {
    let page = 0
    const reply = ({ method }: AskedRequest): Reply => {
      if (method === 'POST')
        return document('<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>')
      page++
      // After so many it gives in, so that this test ends in any case.
      if (page > 2_000) return document('<ListPartsResult/>')
      return document(
        `<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>${page}</NextPartNumberMarker></ListPartsResult>`,
      )
    }
    await withServer(reply, async (store, server) => {
      const upload = await store.createUpload('k', { size: 10, partBytes: 5 * 1024 * 1024 })
      await assert.rejects(upload.listParts(), StoreUnreachable)
      assert.ok(server.asked.length < 1_000)
    })
  })

  it('gives no ETag that fills the memory', async () => {
    const etag = 'e'.repeat(100_000)
    await withServer(
      () =>
        document(
          `<ListPartsResult><Part><PartNumber>1</PartNumber><Size>1</Size><ETag>"${etag}"</ETag></Part></ListPartsResult>`,
        ),
      async (store) => {
        await assert.rejects(store.resumeUpload('k', 'any:u'), StoreRejected)
      },
    )
  })

  it('is not asked to delete what only its answer has named', async () => {
    const reply = document(
      '<DeleteResult><Error><Key>of/others</Key><Code>InternalError</Code><Message>again</Message></Error></DeleteResult>',
    )
    await withServer(
      () => reply,
      async (store, server) => {
        await assert.rejects(store.delete(['ours']), StoreRejected)
        for (const { body } of server.asked) assert.ok(!body.includes('of/others'), String(body))
      },
    )
  })

  it('lists nothing that is outside of the folder', async () => {
    await withServer(
      () => listed('elsewhere/k'),
      async (_, { port }) => {
        const store = openAt(`http://127.0.0.1:${port}`, { folder: 'folder' })
        await assert.rejects(store.list(), StoreRejected)
        await store.close()
      },
    )
  })

  it('does not turn a listing around with a key that was given out before', async () => {
    await withServer(
      () => listed('a', 'b'),
      async (store) => {
        await assert.rejects(store.list({ after: 'b' }), StoreRejected)
      },
    )
  })

  it('does not break a listing with a key that is no text', async () => {
    await withServer(
      () =>
        document(
          '<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>%zz</Key><Size>1</Size><ETag>"x"</ETag></Contents></ListBucketResult>',
        ),
      async (store) => {
        await assert.rejects(store.list(), StoreRejected)
      },
    )
  })

  it('writes no control characters into the reason that people read', async () => {
    await withServer(
      (_, number) =>
        number === 1
          ? taken(_)
          : {
              status: 400,
              headers: { 'content-type': 'application/xml' },
              body: '<Error><Code>A\u001b[2J\nB</Code><Message>m</Message></Error>',
            },
      async (store) => {
        await putOne(store)
        await assert.rejects(putOne(store), (error: Error) => {
          assert.doesNotMatch(error.message, /\p{Cc}/u)
          return true
        })
      },
    )
  })

  it('gives nothing away of a request that it echoes', async () => {
    const echo = ({ headers }: AskedRequest): Reply => ({
      status: 403,
      headers: { 'content-type': 'application/xml' },
      body: `<Error><Code>Odd</Code><Message>${headers.authorization}</Message></Error>`,
    })
    await withServer(echo, async (store) => {
      await assert.rejects(store.list(), (error: Error) => {
        assert.match(error.message, /Odd: AWS4-HMAC-SHA256/)
        assert.doesNotMatch(inspect(error, { depth: 9 }), /[0-9a-f]{64}/)
        return true
      })
    })
  })

  it('is not waited for when it answers with another protocol', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const store = openAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { attempts: 1 })
    try {
      const waited = new Promise((_, reject) => setTimeout(reject, 5_000, new Error('it was waited for')).unref())
      await assert.rejects(Promise.race([store.head('k'), waited]), StoreRejected)
    } finally {
      await store.close()
      server.close()
    }
  })
})
