import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AccessDenied, type AccessKey, authorize, rootKeyRing } from './access.ts'

describe('access', () => {
  const ring = rootKeyRing({ accessKeyId: 'ROOT', secretAccessKey: 'a secret' })

  it('knows the root key and no other', async () => {
    const key = await ring.find('ROOT')
    assert.match(key?.canonicalId ?? '', /^[0-9a-f]{64}$/)
    for (const id of ['root', '', 'ROOT ', '__proto__']) assert.equal(await ring.find(id), undefined)
  })

  it('lets an administrator do everything, and any other key nothing', async () => {
    const root = await ring.find('ROOT')
    const other: AccessKey = { ...root!, accessKeyId: 'OTHER', admin: false }
    for (const need of ['read', 'write', 'owner', 'admin'] as const) {
      authorize(root!, need, 'images')
      assert.throws(() => authorize(other, need, 'images'), AccessDenied)
      assert.throws(() => authorize(other, need, undefined), { message: /OTHER.*this server/ })
    }
  })
})
