import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { parsePath } from './index.ts'
import { branchOf, openTestStore } from './testing/store.ts'

const at = branchOf('images')

describe('an upload into a scratch folder', () => {
  const path = parsePath('table/_temporary/0/part')
  const bytes = Buffer.from('part')
  const md5 = createHash('md5').update(bytes).digest('hex')
  const open = async (t: { after(done: () => Promise<void>): void }) => {
    const store = await openTestStore()
    t.after(() => store.close())
    await store.versioning.createRepo(at.repo)
    const putPart = async (upload: string) => {
      const staged = await store.versioning.content.putBytes(bytes)
      await store.versioning.uploads.putPart(at, path, upload, { number: 1, staged, md5 })
    }
    return { store, uploads: store.versioning.uploads, putPart }
  }
  const parts = [{ number: 1, etag: md5 }]

  it('is refused before any part is sent where it has tags or an ACL, which only versions can have', async (t) => {
    const { uploads } = await open(t)
    const attributes = { metadata: {} }
    const tags = [{ key: 'a', value: 'b' }]
    await assert.rejects(uploads.create(at, { path, attributes, tags }), { code: 'InvalidInput' })
    await assert.rejects(uploads.create(at, { path, attributes, access: 'public-read' }), { code: 'InvalidInput' })
    await uploads.create(at, { path, attributes, tags: [], access: 'private' })
  })

  it('that can not be completed keeps its parts, and is not answered as if it were', async (t) => {
    const { store, uploads, putPart } = await open(t)
    const { id } = await uploads.create(at, { path, attributes: { metadata: {} } })
    await putPart(id)
    await store.db.write((tx) => tx.run(`UPDATE uploads SET tags = '[["a","b"]]' WHERE id = ?`, [id]))
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(uploads.complete(at, path, id, { parts }), { code: 'InvalidInput' })
    }
    assert.equal((await uploads.listParts(at, path, id, { after: 0, limit: 10 })).parts.length, 1)
  })
})
