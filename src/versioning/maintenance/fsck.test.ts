import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openSqlite, silentLog } from '../../kernel/index.ts'
import { type Filled, fill, packs, sql } from '../testing/damage.ts'
import { assertSound, faultsOf, fsckEvents } from '../testing/fsck.ts'

describe('fsck of a store in order', () => {
  let filled: Filled
  before(async () => {
    filled = await fill()
  })
  after(() => filled.store.close())

  it('counts what it looked at, and hashes all content with `deep`', async () => {
    const verdict = (await fsckEvents(filled.store, { deep: true })).at(-1)
    assert.ok(verdict?.kind === 'verdict')
    assert.equal(verdict.verdict, 'clean')
    assert.equal(verdict.counts.commits, 2)
    assert.equal(verdict.counts.versions, 306)
    assert.ok(verdict.counts.hashedBytes > 3_000_000)
    const { bytes } = (await filled.store.db.get<{ bytes: number }>('SELECT sum(length) AS bytes FROM chunk'))!
    assert.equal(verdict.counts.hashedBytes, bytes)
  })

  it('takes damage in what no file holds now for a note, and no fault', async () => {
    const { store } = filled
    const unused = randomBytes(600)
    const { chunks } = await store.versioning.content.putBytes(unused)
    const { sha256, pack, offset, length } = chunks[0]!
    await sql(
      store,
      'INSERT INTO chunk (sha256, pack, "offset", length) VALUES (?, ?, ?, ?)',
      sha256,
      pack,
      offset + 1,
      length,
    )
    const events = await fsckEvents(store)
    const notes = events.flatMap((event) => (event.kind === 'fault' ? [event.fault.severity] : []))
    assert.deepEqual(notes, ['note'])
    assert.deepEqual(await faultsOf(store), [])
    await sql(store, 'DELETE FROM chunk WHERE sha256 = ?', sha256)
  })

  it('notes a file among the packs that is none', async () => {
    const { store } = filled
    const stray = join(packs(store)[0]!, '..', 'notes.txt')
    await writeFile(stray, 'hello')
    const events = await fsckEvents(store)
    assert.ok(events.some((event) => event.kind === 'fault' && /notes\.txt/.test(event.fault.message)))
    assert.deepEqual(await faultsOf(store), [])
    await rm(stray)
  })

  it('is ended by its signal, and says that it is not done', async () => {
    const stop = new AbortController()
    stop.abort()
    const verdict = (await fsckEvents(filled.store, { signal: stop.signal })).at(-1)
    assert.ok(verdict?.kind === 'verdict')
    assert.equal(verdict.verdict, 'stopped')
  })

  it('leaves its files as they are', async () => {
    const { store } = filled
    const before = await Promise.all(packs(store).map((file) => readFile(file)))
    await assertSound(store, { deep: true, repair: true })
    assert.deepEqual(await Promise.all(packs(store).map((file) => readFile(file))), before)
  })

  it('finds a node that is whole and not as trees are made', async () => {
    const { store, second } = filled
    const { root } = (await store.db.get<{ root: string }>('SELECT root FROM commits WHERE id = ?', [second]))!
    const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
    const { body } = (await nodes.get<{ body: Buffer }>('SELECT body FROM node WHERE hash = unhex(?)', [root]))!
    // The last child's sum of bytes: before its hash, the last thing in the node.
    const wrong = Buffer.from(body)
    wrong[wrong.length - 33] = wrong[wrong.length - 33]! ^ 1
    const hash = createHash('sha256').update(wrong).digest()
    await nodes.write((tx) => tx.run('INSERT INTO node (hash, level, body) VALUES (?, 1, ?)', [hash, wrong]))
    await nodes.close()
    await sql(store, 'UPDATE commits SET root = ? WHERE id = ?', hash.toString('hex'), second)
    const faults = await faultsOf(store)
    assert.ok(faults.some(({ kind, message }) => kind === 'node' && /are not those that its parent says/.test(message)))
    await sql(store, 'UPDATE commits SET root = ? WHERE id = ?', root, second)
    await assertSound(store)
  })
})
