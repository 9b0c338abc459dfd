import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parsePath, type VersionPage } from './index.ts'
import { branchOf, openTestStore, putText } from './testing/store.ts'

const images = branchOf('images')
const a = parsePath('a')

it('versions that are deleted page by page all come, also after a null version that a restore had made the latest', async (t) => {
  const store = await openTestStore({ unversioned: true })
  t.after(() => store.close())
  const { versioning } = store
  const { versions } = versioning
  await versioning.createRepo(images.repo)
  await putText(versioning, images, 'a', 'old')
  await versions.enable(images)
  const old = (await versioning.getBranch(images)).head!
  const later = [await putText(versioning, images, 'a', 'one'), await putText(versioning, images, 'a', 'two')]
  await versioning.restore(images, old)
  const shown: unknown[] = []
  let after: VersionPage['next']
  for (let pages = 0; pages < 10; pages++) {
    const page = await versions.list(images, { limit: 1, ...(after ? { after } : {}) })
    for (const { version } of page.versions) {
      shown.push(version)
      await versions.delete(images, [{ path: a, version }])
    }
    after = page.next
    if (!after) break
  }
  assert.deepEqual(shown, ['null', ...later.map(({ version }) => version).reverse()])
  assert.deepEqual((await versions.list(images, { limit: 10 })).versions, [])
})
