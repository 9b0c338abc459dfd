import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { MIN_PART_BYTES } from '../../kernel/index.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { startFakeGcs } from '../testing/fake-gcs.ts'
import { openTestGcs } from '../testing/gcs-open.ts'
import { makeAccount } from '../testing/gcs-token.ts'

const fake = await startFakeGcs()

if ('missing' in fake) {
  describe('the driver of Google Cloud Storage against fake-gcs-server', () => {
    it('keeps the contract of object stores', { skip: `left out: ${fake.missing}` }, () => undefined)
  })
} else {
  after(() => fake.stop())
  await fake.makeBucket('bucket')
  const { credentials } = makeAccount()
  const open = async (folder: string, bucket = 'bucket') =>
    openTestGcs({ endpoint: fake.endpoint, credentials, bucket, folder })
  const ends = 'it takes the question how far an upload is for the end of the upload'
  const keeps = 'it keeps an upload that is cancelled'
  objectStoreContract('the driver of Google Cloud Storage against fake-gcs-server', () => open('folder/deeper'), {
    'completes an upload only where nothing is, if asked to': ends,
    'completes an upload only over what is as expected, if asked to': ends,
    'goes on with an upload that was begun before': ends,
    'goes on with a part that was given up in the middle': ends,
    'forgets an upload that is given up': keeps,
    'completes no upload that was given up': keeps,
  })

  describe('the driver of Google Cloud Storage against fake-gcs-server', () => {
    it('leaves no torn object where an upload can not be gone on with, and says that it is gone', async () => {
      const store = await open('torn')
      const begun = await store.createUpload('k', { size: MIN_PART_BYTES + 3, partBytes: MIN_PART_BYTES })
      await begun.putPart(1, Buffer.alloc(MIN_PART_BYTES, 'a'))
      await assert.rejects(store.resumeUpload('k', begun.uploadId), {
        code: 'ObjectNotFound',
        data: { what: 'upload' },
      })
      assert.equal(await store.head('k'), undefined)
      await store.close()
    })

    it('tells a bucket that is missing from an object that is', async () => {
      const missing = await open('folder', 'nowhere')
      const told = { code: 'ObjectNotFound', message: /has no bucket nowhere; create it first/ }
      await assert.rejects(missing.put('k', Buffer.from('x'), 1), told)
      await assert.rejects(missing.list(), told)
      await assert.rejects(missing.createUpload('k', { size: 1, partBytes: MIN_PART_BYTES }), told)
      await missing.close()
    })
  })
}
