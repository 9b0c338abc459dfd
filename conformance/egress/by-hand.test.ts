import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { headOf } from '../shared/history.ts'
import { ODD_NAMES } from '../shared/trees.ts'
import { bytesNamed } from '../support.ts'
import { type EveryKind, KINDS, missing, openEveryKind } from './every-kind.ts'
import type { Pushing } from './pushing.ts'
import { contents, hashes } from './s3.ts'
import type { Store } from './stores.ts'

/** In parts, everywhere. */
const LARGE_BYTES = 40 * 1024 * 1024

describe('commits pushed by hand, without a pipeline', { timeout: 300_000 }, () => {
  let every: EveryKind
  let stores: ReadonlyMap<string, Store>
  let source: Pushing
  let s3: S3Client
  let first: string
  let second: string
  before(async () => {
    every = await openEveryKind()
    ;({ stores, source, s3 } = every)
    await s3.send(new CreateBucketCommand({ Bucket: 'master.input' }))
    for (const name of ODD_NAMES) await put(`odd/${name}`, name)
    for (const name of ['kept', 'changed later', 'gone later']) await put(`dir/${name}`, name)
    await put('large', bytesNamed('large', LARGE_BYTES))
    first = await headOf(source, 'input')
    await put('dir/changed later', 'changed')
    await put('dir/new', 'new')
    await s3.send(new DeleteObjectCommand({ Bucket: 'master.input', Key: 'dir/gone later' }))
    second = await headOf(source, 'input')
  })
  after(() => every?.close())

  const put = (Key: string, Body: string | Buffer) =>
    s3.send(new PutObjectCommand({ Bucket: 'master.input', Key, Body }))
  const filesOf = async (commit: string) => hashes(await contents(s3, `${commit}.input`))

  for (const kind of KINDS) {
    describe(kind, { skip: missing.get(kind) }, () => {
      let store: Store
      let url: string
      before(() => {
        store = stores.get(kind)!
        url = store.urls[0]!(`by-hand/${kind}`)
      })
      const run = (commit: string) => source.sluice(['egress', 'run', `input@${commit}`, url, '--secret', kind])
      const there = () => store.files(`by-hand/${kind}`)

      it('brings a commit to the store, a large file in parts and odd names as they are', async () => {
        await run(second)
        assert.deepEqual(await there(), await filesOf(second))
      })

      it('sends nothing when that commit is there already', async () => {
        store.log.forget()
        await run(second)
        assert.deepEqual(store.log.writes(), [])
      })

      it('goes back to an older commit, and sends only what is different', async () => {
        store.log.forget()
        await run(first)
        assert.deepEqual(await there(), await filesOf(first))
        const again = store.log.writes().filter((line) => /large|kept|odd/.test(line))
        assert.deepEqual(again, [])
      })

      it('verify says that all is in step, and after somebody else was there what is not', async () => {
        const inStep = await source.sluice(['egress', 'verify', `input@${first}`, url])
        assert.match(inStep, /all as they were put there/)
        const base = store.at(`by-hand/${kind}`)
        const other = join(source.folder, `other-${kind}`)
        await writeFile(other, 'KEPT')
        await store.rclone('copyto', '--ignore-times', other, `${base}/dir/kept`)
        await store.rclone('copyto', other, `${base}/dir/not ours`)
        await store.rclone('deletefile', `${base}/odd/plus+sign`)
        const drifted = await source.sluiceFails(['egress', 'verify', `input@${first}`, url])
        assert.match(drifted, /^changed +dir\/kept: /m)
        assert.match(drifted, /^missing +odd\/plus\+sign: /m)
        assert.match(drifted, /^not ours +dir\/not ours /m)
        assert.match(drifted, /1 missing, 1 changed; 1 that are not ours/)
        // Every other file is as it was.
        assert.equal(
          drifted
            .trim()
            .split('\n')
            .filter((line) => /^(changed|missing|not ours) /.test(line)).length,
          3,
        )
      })

      it('verify --repair puts it right, and leaves alone what is not ours', async () => {
        await source.sluiceFails(['egress', 'verify', `input@${first}`, url, '--repair'])
        const [newest] = JSON.parse(await source.sluice(['egress', 'list', '--json'])) as { id: string }[]
        await source.sluice(['egress', 'inspect', newest?.id ?? '', '--wait'])
        const { 'dir/not ours': foreign, ...ours } = await there()
        assert.ok(foreign)
        assert.deepEqual(ours, await filesOf(first))
        await source.sluice(['egress', 'verify', newest?.id ?? '', '--deep'])
      })

      it('is listed with what it did', async () => {
        const listed = JSON.parse(await source.sluice(['egress', 'list', '--json'])) as { url: string; state: string }[]
        const mine = listed.filter((push) => push.url.endsWith(`/by-hand/${kind}`))
        assert.ok(mine.length >= 3, JSON.stringify(listed))
        assert.ok(mine.every(({ state }) => state === 'success'))
      })
    })
  }
})
