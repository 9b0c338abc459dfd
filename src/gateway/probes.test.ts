import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { objectsIn } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

/** What AWS documents for a bucket that nothing was ever set up on. */
const answers: readonly (readonly [query: string, status: number, says: RegExp])[] = [
  ['accelerate=', 200, /<AccelerateConfiguration [^>]*><\/AccelerateConfiguration>/],
  ['encryption=', 404, /<Code>ServerSideEncryptionConfigurationNotFoundError</],
  ['lifecycle=', 404, /<Code>NoSuchLifecycleConfiguration</],
  ['logging=', 200, /<BucketLoggingStatus [^>]*><\/BucketLoggingStatus>/],
  ['notification=', 200, /<NotificationConfiguration [^>]*><\/NotificationConfiguration>/],
  ['object-lock=', 404, /<Code>ObjectLockConfigurationNotFoundError</],
  ['ownershipControls=', 404, /<Code>OwnershipControlsNotFoundError</],
  ['policy=', 404, /<Code>NoSuchBucketPolicy</],
  ['policyStatus=', 404, /<Code>NoSuchBucketPolicy</],
  ['publicAccessBlock=', 404, /<Code>NoSuchPublicAccessBlockConfiguration</],
  ['replication=', 404, /<Code>ReplicationConfigurationNotFoundError</],
  ['requestPayment=', 200, /<Payer>BucketOwner<\/Payer>/],
  ['tagging=', 404, /<Code>NoSuchTagSet</],
  ['cors=', 404, /<Code>NoSuchCORSConfiguration</],
  ['website=', 404, /<Code>NoSuchWebsiteConfiguration</],
]
const removable = [
  'cors=',
  'encryption=',
  'lifecycle=',
  'ownershipControls=',
  'policy=',
  'publicAccessBlock=',
  'replication=',
  'tagging=',
  'website=',
]

describe('a tool that looks how a bucket is configured', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/master.probed')
    await objectsIn('master.probed', () => server).put('a', 'hello')
  })
  after(() => server.close())

  it('hears the documented answer for what is not set up, and of no bucket that there is none', async () => {
    for (const [query, status, says] of answers) {
      const reply = await server.send('GET', `/master.probed?${query}`)
      assert.equal(reply.status, status, query)
      assert.match(await reply.text(), says, query)
      const nowhere = await server.send('GET', `/nowhere?${query}`)
      assert.equal(nowhere.status, 404)
      assert.match(await nowhere.text(), /<Code>NoSuchBucket</, query)
    }
    for (const query of ['legal-hold=', 'retention=']) {
      const reply = await server.send('GET', `/master.probed/a?${query}`)
      assert.equal(reply.status, 400)
      assert.match(await reply.text(), /Bucket is missing Object Lock Configuration/)
      assert.equal((await server.send('GET', `/master.probed/none?${query}`)).status, 404)
    }
  })

  it('may remove what is not there, but not set it up', async () => {
    for (const query of removable) {
      assert.equal((await server.send('DELETE', `/master.probed?${query}`)).status, 204, query)
      assert.equal((await server.send('DELETE', `/nowhere?${query}`)).status, 404, query)
    }
    for (const [query] of answers) {
      if (['tagging=', 'cors='].includes(query)) continue
      const reply = await server.send('PUT', `/master.probed?${query}`, { body: '<a/>' })
      assert.equal(reply.status, 501, query)
    }
    assert.equal(await (await server.send('GET', '/master.probed/a')).text(), 'hello')
  })
})
