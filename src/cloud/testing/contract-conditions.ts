import assert from 'node:assert/strict'
import { type ObjectStore, StorePreconditionFailed } from '../object-store.ts'
import { contentOf, ofParts, type Promised, putMissing, stream, text } from './contract-kit.ts'

export function conditions(promise: Promised): void {
  promise('puts only where nothing is, if asked to', async (store) => {
    await store.put('once', text('first'), 5, { only: 'absent' })
    await assert.rejects(store.put('once', text('again'), 5, { only: 'absent' }), StorePreconditionFailed)
    await assert.rejects(store.put('once', stream('again'), 5, { only: 'absent' }), StorePreconditionFailed)
    assert.equal(await contentOf(store, 'once'), 'first')
  })

  promise('replaces only what is as expected, if asked to', async (store) => {
    const first = await store.put('k', text('first'), 5)
    const second = await store.put('k', text('second'), 6, { only: { etag: first.etag } })
    assert.equal(await contentOf(store, 'k'), 'second')
    for (const etag of [first.etag, 'never-there']) {
      await assert.rejects(store.put('k', text('third'), 5, { only: { etag } }), StorePreconditionFailed)
      await assert.rejects(store.put('k', stream('third'), 5, { only: { etag } }), StorePreconditionFailed)
    }
    assert.equal(await contentOf(store, 'k'), 'second')
    await store.put('k', stream('fourth'), 6, { only: { etag: (await store.head('k'))!.etag } })
    assert.equal(await contentOf(store, 'k'), 'fourth')
    assert.notEqual(second.etag, first.etag)
  })

  promise('replaces nothing where nothing is', async (store) => {
    const gone = await store.put('k', text('first'), 5)
    await store.delete(['k'])
    await assert.rejects(store.put('k', text('again'), 5, { only: { etag: gone.etag } }), StorePreconditionFailed)
    assert.equal(await store.head('k'), undefined)
  })

  promise('lets one of many win that put at once where nothing is', async (store) => {
    await oneWins(store, () => ({ only: 'absent' }))
  })

  promise('lets one of many win that replace the same object at once', async (store) => {
    const { etag } = await store.put('race', text('before'), 6)
    await oneWins(store, () => ({ only: { etag } }))
  })

  promise('completes an upload only where nothing is, if asked to', async (store) => {
    const upload = await store.createUpload('condition', { ...ofParts(3), only: 'absent' })
    await upload.putPart(1, text('new'))
    await store.put('condition', text('old'), 3)
    const resumed = await store.resumeUpload('condition', upload.uploadId)
    await assert.rejects(
      async () => resumed.complete(await putMissing(resumed, [text('new')])),
      StorePreconditionFailed,
    )
    assert.equal(await contentOf(store, 'condition'), 'old')
    await resumed.abort()
  })

  promise('completes an upload only over what is as expected, if asked to', async (store) => {
    const begin = async (etag: string) => store.createUpload('over', { ...ofParts(3), only: { etag } })
    const { etag } = await store.put('over', text('old'), 3)
    const upload = await begin(etag)
    const resumed = await store.resumeUpload('over', upload.uploadId)
    await resumed.complete(await putMissing(resumed, [text('new')]))
    assert.equal(await contentOf(store, 'over'), 'new')
    // Whether it is told at the start or at the end is the store's matter.
    await assert.rejects(async () => {
      const late = await begin(etag)
      await late.complete(await putMissing(late, [text('bad')]))
    }, StorePreconditionFailed)
    assert.equal(await contentOf(store, 'over'), 'new')
  })
}

async function oneWins(store: ObjectStore, condition: () => { only: 'absent' | { etag: string } }): Promise<void> {
  const writers = Array.from({ length: 8 }, (_, index) => `writer ${index}`)
  const results = await Promise.allSettled(
    writers.map((writer) => store.put('race', text(writer), writer.length, condition())),
  )
  const winners = writers.filter((_, index) => results[index]!.status === 'fulfilled')
  assert.equal(winners.length, 1)
  for (const result of results) {
    if (result.status === 'rejected') assert.ok(result.reason instanceof StorePreconditionFailed, String(result.reason))
  }
  assert.equal(await contentOf(store, 'race'), winners[0])
}
