import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { MIB } from '../kernel/index.ts'
import { type Forgetting, forgetfulFiles } from './content/testing/forgetful-files.ts'
import { type CommitId, parsePath, type Target } from './index.ts'
import { branchOf, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')

/** PUTs of all kinds, a multipart upload and a commit; then the power goes. Returns what was acknowledged. */
async function workThenLosePower(
  forgetting: Forgetting,
): Promise<{ store: TestStore; expected: Map<string, Buffer>; commit: CommitId }> {
  const files = forgetfulFiles(forgetting)
  const store = await openTestStore({ files })
  const { versioning } = store
  const expected = new Map<string, Buffer>()
  await versioning.createBranch(images)
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const text = `${i}:`.padEnd(i * 100, 'x')
      await putText(versioning, images, `small/${i}`, text)
      expected.set(`small/${i}`, Buffer.from(text))
    }),
  )
  const large = randomBytes(3 * MIB + 17)
  const writer = versioning.content.writer()
  await writer.write(large)
  await versioning.put(images, {
    path: parsePath('large'),
    staged: await writer.finish(),
    etag: hash('md5', large),
    attributes: { metadata: {} },
  })
  expected.set('large', large)
  const sealed = await sealCommit(versioning, images)
  expected.set('parts', await uploadInParts(store))
  await files.crash()
  await store.reopen({ realDisk: true })
  return { store, expected, commit: sealed.id }
}

async function uploadInParts({ versioning }: TestStore): Promise<Buffer> {
  const path = parsePath('parts')
  const upload = await versioning.uploads.create(images, { path, attributes: { metadata: {} } })
  const bodies = [randomBytes(5 * MIB), randomBytes(1000)]
  const parts = []
  for (const [index, body] of bodies.entries()) {
    const writer = versioning.content.writer()
    await writer.write(body)
    const md5 = hash('md5', body)
    await versioning.uploads.putPart(images, path, upload.id, { number: index + 1, staged: await writer.finish(), md5 })
    parts.push({ number: index + 1, etag: md5 })
  }
  await versioning.uploads.complete(images, path, upload.id, { parts })
  return Buffer.concat(bodies)
}

async function missing(store: TestStore, at: Target, expected: ReadonlyMap<string, Buffer>): Promise<string[]> {
  const lost: string[] = []
  for (const [path, bytes] of expected) {
    try {
      const entry = await store.versioning.stat(at, parsePath(path))
      const pieces: Buffer[] = []
      for await (const piece of store.versioning.content.read(entry.content)) pieces.push(piece as Buffer)
      if (!Buffer.concat(pieces).equals(bytes)) lost.push(path)
    } catch {
      // Whatever is thrown, it can't be read: that is what is asked.
      lost.push(path)
    }
  }
  return lost
}

describe('after a loss of power', () => {
  it('every acknowledged PUT, part and commit is there, byte for byte', async () => {
    const { store, expected, commit } = await workThenLosePower({})
    assert.deepEqual(await missing(store, images, expected), [])
    const committed = new Map([...expected].filter(([path]) => path !== 'parts'))
    assert.deepEqual(await missing(store, { kind: 'commit', repo: images.repo, commit }, committed), [])
    const next = await sealCommit(store.versioning, images)
    assert.equal(next.files, expected.size)
    await store.close()
  })

  for (const ignore of ['datasync', 'syncFolder'] as const) {
    it(`is noticed here when ${ignore} is taken out`, async () => {
      const { store, expected } = await workThenLosePower({ ignore })
      assert.notDeepEqual(await missing(store, images, expected), [])
      await store.close()
    })
  }
})
