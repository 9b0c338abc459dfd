import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Corrupt, openSqlite, silentLog } from '../../kernel/index.ts'
import { nodeFiles, type OpenFile } from '../content/files.ts'
import type { Content } from '../content/index.ts'
import type { FileLayer } from '../index.ts'
import type { GcEvent, GcResult } from '../maintenance.ts'
import { ContentGone, parsePath, type TreeHash } from '../model/index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const other = branchOf('other@master')
const origin = { job: 'a'.repeat(32), datum: 'b'.repeat(32) }
const text = () => randomBytes(5_000).toString('hex')

async function collect(store: TestStore, watch: (event: GcEvent) => Promise<void> = async () => {}): Promise<GcResult> {
  let result: GcResult | undefined
  for await (const event of store.versioning.maintenance.gc({ graceMs: 0 })) {
    await watch(event)
    if (event.kind === 'done') result = event
  }
  return result!
}

/** A tree of one file that no row refers to. */
async function looseTree(
  store: TestStore,
  body: string,
  hold?: Parameters<typeof store.versioning.derived.storeOutput>[2],
) {
  const diskPath = join(store.folder, 'output')
  await writeFile(diskPath, body)
  const { root } = await store.versioning.derived.storeOutput([{ path: parsePath('a'), diskPath }], origin, hold)
  return root
}

async function readTree({ versioning }: TestStore, root: TreeHash): Promise<string> {
  const entry = await versioning.trees.get(root, parsePath('a'))
  return (await versioning.content.readBytes(entry!.content)).toString()
}

describe('garbage collection, against who is at work', () => {
  it('keeps a tree that is held, and removes it when it is let go', async () => {
    const store = await openTestStore()
    try {
      const hold = store.versioning.derived.hold()
      const body = text()
      const root = await looseTree(store, body, hold)
      assert.equal((await collect(store)).nodes, 0)
      assert.ok((await nodesOf(store)).includes(root))
      assert.equal(await readTree(store, root), body)
      hold.end()
      assert.equal((await collect(store)).nodes, 1)
      assert.deepEqual(await nodesOf(store), [])
    } finally {
      await store.close()
    }
  })

  it('keeps a tree whose nodes were written while it runs, and the content in it', async () => {
    const store = await openTestStore()
    try {
      const body = text()
      let root: TreeHash | undefined
      await collect(store, async (event) => {
        if (root === undefined && event.kind === 'progress' && event.phase === 'mark')
          root = await looseTree(store, body)
      })
      const nodes = await nodesOf(store)
      assert.ok(nodes.includes(root!))
      assert.equal(await readTree(store, root!), body)
      // Nothing came to refer to it.
      assert.equal((await collect(store)).nodes, 1)
      assert.deepEqual(await nodesOf(store), [])
    } finally {
      await store.close()
    }
  })

  it('keeps a tree that was written before and is written again while it runs', async () => {
    const store = await openTestStore({ clock: { now: () => 1_800_000_000_000 } })
    try {
      const body = text()
      const before = await looseTree(store, body)
      let root: TreeHash | undefined
      await collect(store, async (event) => {
        if (root === undefined && event.kind === 'progress' && event.phase === 'mark')
          root = await looseTree(store, body)
      })
      assert.equal(root, before)
      assert.ok((await nodesOf(store)).includes(root!))
      assert.equal(await readTree(store, root!), body)
    } finally {
      await store.close()
    }
  })

  it('lets a reader find what is moved to another pack between its look-up and its read', async () => {
    const held = Promise.withResolvers<void>()
    const opening = Promise.withResolvers<void>()
    let armed = false
    const files: FileLayer = {
      ...nodeFiles,
      open: async (path, mode): Promise<OpenFile> => {
        if (armed && mode === 'read') {
          armed = false
          opening.resolve()
          await held.promise
        }
        return nodeFiles.open(path, mode)
      },
    }
    const store = await openTestStore({ files })
    try {
      await store.versioning.createBranch(images)
      await store.versioning.createBranch(other)
      const body = text()
      await putText(store.versioning, images, 'kept', body)
      for (let i = 0; i < 5; i++) await putText(store.versioning, other, `gone-${i}`, text())
      await store.versioning.deleteRepo(other.repo)
      await store.reopen()
      armed = true
      const reading = getText(store.versioning, images, 'kept')
      await opening.promise
      assert.equal((await collect(store)).packsRepacked, 1)
      held.resolve()
      assert.equal(await reading, body)
      await assertSound(store, { deep: true })
    } finally {
      held.resolve()
      await store.close()
    }
  })

  it('completes no upload of a part that was uploaded again since it was looked at', async () => {
    const store = await openTestStore()
    try {
      const { versioning } = store
      await versioning.createBranch(images)
      const path = parsePath('a')
      const { id } = await versioning.uploads.create(images, { path, attributes: { metadata: {} } })
      const put = async () => {
        const bytes = randomBytes(5_000)
        const md5 = hash('md5', bytes)
        const part = { number: 1, staged: await versioning.content.putBytes(bytes), md5 }
        await versioning.uploads.putPart(images, path, id, part)
        return md5
      }
      const complete = (etag: string) => versioning.uploads.complete(images, path, id, { parts: [{ number: 1, etag }] })
      const content = versioning.content as unknown as Content
      const manifestOfParts = content.manifestOfParts.bind(content)
      let replaced: string | undefined
      content.manifestOfParts = async (parts) => {
        replaced ??= await put()
        return manifestOfParts(parts)
      }
      await assert.rejects(complete(await put()), ContentGone)
      await complete(replaced!)
      assert.equal((await collect(store)).chunks, 1)
      await assertSound(store, { deep: true })
    } finally {
      await store.close()
    }
  })

  it('removes nothing more where a tree can not be read', async () => {
    const store = await openTestStore()
    try {
      await store.versioning.createBranch(images)
      await store.versioning.createBranch(other)
      const body = text()
      await putText(store.versioning, images, 'kept', body)
      const sealed = await store.versioning.seal(images)
      const commit = await store.versioning.waitForCommit(sealed!.commit)
      await putText(store.versioning, other, 'gone', text())
      await store.versioning.deleteRepo(other.repo)
      await store.db.write((tx) => tx.run('UPDATE commits SET root = ? WHERE id = ?', ['9'.repeat(64), commit.id]))
      await assert.rejects(collect(store), Corrupt)
      assert.equal((await store.db.get<{ n: number }>('SELECT count(*) AS n FROM chunk'))!.n, 2)
      await store.db.write((tx) => tx.run('UPDATE commits SET root = ? WHERE id = ?', [commit.root, commit.id]))
      assert.equal((await collect(store)).removedChunks, 1)
      assert.equal(await getText(store.versioning, images, 'kept'), body)
    } finally {
      await store.close()
    }
  })

  it('says who holds a chunk, a manifest and a node, and that nobody does', async () => {
    const store = await openTestStore()
    try {
      const { versioning } = store
      await versioning.createBranch(images)
      const body = text()
      await putText(versioning, images, 'dir/a', body)
      const writer = versioning.content.writer()
      await writer.write(randomBytes(3_000_000))
      const staged = await writer.finish()
      await versioning.put(images, { path: parsePath('b'), staged, etag: '0'.repeat(32), attributes: { metadata: {} } })
      const commit = await versioning.waitForCommit((await versioning.seal(images))!.commit)
      const hashOf = async (path: string) => {
        const { content } = await versioning.stat(images, parsePath(path))
        return content.kind === 'inline' ? '' : content.sha256.toString('hex')
      }
      const chunk = await versioning.maintenance.why(await hashOf('dir/a'))
      assert.deepEqual([chunk.kind, chunk.bytes, chunk.total], ['chunk', body.length, 3])
      assert.deepEqual(
        chunk.held.map(({ holder, path }) => [holder.kind, path]),
        [
          ['branch', 'dir/a'],
          ['commit', 'dir/a'],
          ['version', 'dir/a'],
        ],
      )
      assert.equal((await versioning.maintenance.why(await hashOf('b'))).kind, 'manifest')
      const piece = staged.chunks[0]!.sha256.toString('hex')
      assert.deepEqual((await versioning.maintenance.why(piece)).held[0]!.path, 'b')
      const node = await versioning.maintenance.why(commit.root)
      assert.deepEqual([node.kind, node.total], ['node', 2])
      assert.deepEqual(await versioning.maintenance.why('9'.repeat(64)), {
        sha256: '9'.repeat(64),
        kind: 'gone',
        held: [],
        total: 0,
      })
      const loose = await versioning.content.putBytes(randomBytes(5_000))
      await store.db.write((tx) => (versioning.content as unknown as Content).publish(tx, loose.chunks))
      const unused = await versioning.maintenance.why(loose.chunks[0]!.sha256.toString('hex'))
      assert.deepEqual([unused.kind, unused.total], ['chunk', 0])
      await assert.rejects(versioning.maintenance.why('9'), /64 hex digits/)
    } finally {
      await store.close()
    }
  })
})

async function nodesOf(store: TestStore): Promise<readonly string[]> {
  const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
  try {
    return (await nodes.all<{ hash: Buffer }>('SELECT hash FROM node')).map(({ hash }) => hash.toString('hex'))
  } finally {
    await nodes.close()
  }
}
