import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { Corrupt, systemClock } from '../../kernel/index.ts'
import { md5Hex, multipartEtag } from '../body.ts'
import { ObjectNotFound, StoreRejected } from '../object-store.ts'
import { createPlaces } from '../places.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { openFileStore } from './file-store.ts'
import { decodeName, keyToPath } from './keys.ts'

const folder = await mkdtemp(join(tmpdir(), 'sluice-file-store-'))
after(() => rm(folder, { recursive: true, force: true }))
const open = (name: string) => openFileStore(join(folder, name), { clock: systemClock })

objectStoreContract('the file driver', () => open('contract'))

describe('the file driver', () => {
  it('leaves nothing but its own two folders when all is deleted', async () => {
    const store = await open('clean')
    for (const key of ['a/b/c/d', 'a/b', '../up', '/', '//']) await store.put(key, Buffer.from('x'), 1)
    await store.delete(['a/b/c/d', 'a/b', '../up', '/', '//'])
    assert.deepEqual((await readdir(join(folder, 'clean'), { recursive: true })).sort(), ['%tmp', '%uploads'])
  })

  it('puts nothing into a folder that is only looked at, and makes none', async () => {
    const foreign = join(folder, 'foreign')
    await mkdir(foreign)
    await writeFile(join(foreign, 'mine'), 'x')
    for (const make of [false, true]) {
      const store = await openFileStore(foreign, { clock: systemClock, make })
      await assert.rejects(store.list({ limit: 1 }), StoreRejected)
      assert.equal(await store.head('none'), undefined)
      assert.deepEqual(await store.delete(['none']), [])
      await assert.rejects(store.get('none'), ObjectNotFound)
      assert.deepEqual(await readdir(foreign), ['mine'])
    }
    await assert.rejects(openFileStore(join(folder, 'none'), { clock: systemClock, make: false }), ObjectNotFound)
    assert.ok(!(await readdir(folder)).includes('none'))
    const secrets = { open: () => Promise.reject(new Error('none is needed')) }
    const parts = { dataFolder: undefined, secrets, hostIdentity: false, allowTargets: [], clock: systemClock }
    const place = await createPlaces(parts).open(foreign, { make: false })
    await assert.rejects(place.list(), StoreRejected)
    assert.deepEqual(await readdir(foreign), ['mine'])
    const file = createPlaces(parts).open(join(foreign, 'mine'), { make: false })
    await assert.rejects(file, /mine is no folder/)
  })

  it('removes what a crash left half-written long ago, once it writes', async () => {
    const old = join(folder, 'crashed', '%tmp', 'old')
    await (await open('crashed')).put('k', Buffer.from('x'), 1)
    await writeFile(old, 'half')
    await utimes(old, 0, 0)
    const store = await open('crashed')
    assert.deepEqual(await readdir(join(folder, 'crashed', '%tmp')), ['old'])
    await store.put('k', Buffer.from('y'), 1)
    assert.deepEqual(await readdir(join(folder, 'crashed', '%tmp')), [])
  })

  it('finds everything again after being opened anew', async () => {
    const first = await open('again')
    await first.put('k', Buffer.from('kept'), 4)
    await first.close()
    const second = await open('again')
    assert.equal(String(await buffer(await second.get('k'))), 'kept')
  })

  it('leaves no temporary file behind when a put fails', async () => {
    const store = await open('failing')
    await assert.rejects(store.put('k', Buffer.from('four'), 5), StoreRejected)
    await assert.rejects(store.put('k', Buffer.from('four'), 4, { md5: '0'.repeat(32) }), StoreRejected)
    assert.deepEqual(await readdir(join(folder, 'failing', '%tmp')), [])
  })

  it('never serves a file that was cut or is not its own', async () => {
    const store = await open('damaged')
    await store.put('k', Buffer.alloc(1000, 'x'), 1000)
    const file = join(folder, 'damaged', ...keyToPath('k'))
    await truncate(file, 500)
    await assert.rejects(store.get('k'), Corrupt)
    await writeFile(file, 'no footer at all')
    await assert.rejects(store.head('k'), Corrupt)
  })

  it('lets put and delete of neighbours in one folder race without losing a put', async () => {
    const store = await open('racing')
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let turn = 0; turn < 15; turn++) {
          await store.put(`deep/er/${worker}`, Buffer.from('x'), 1)
          assert.ok(await store.head(`deep/er/${worker}`))
          assert.deepEqual(await store.delete([`deep/er/${worker}`]), [])
        }
      }),
    )
  })
})

describe('writes of one file under a condition', () => {
  it('see what other writers do, through whichever store of the process', async () => {
    const [one, other] = [await open('shared'), await open('shared')]
    for (let turn = 0; turn < 25; turn++) {
      const { etag } = await one.put('k', Buffer.from(`before ${turn}`), `before ${turn}`.length)
      const outcomes = await Promise.allSettled([
        one.put('k', Buffer.from(`mine ${turn}`), `mine ${turn}`.length, { only: { etag } }),
        other.put('k', Buffer.from(`other ${turn}`), `other ${turn}`.length, { only: { etag } }),
        other.delete(['k']),
      ])
      const wins = outcomes.slice(0, 2).filter(({ status }) => status === 'fulfilled').length
      // The deletion came before both, or one of them before the other and it.
      assert.ok(wins <= 1)
      await one.delete(['k'])
    }
  })

  it('say the MD5 of the whole, also of what came in parts', async () => {
    const store = await open('parts')
    const upload = await store.createUpload('k', { size: 6, partBytes: 5 * 1024 * 1024 })
    const parts = [await upload.putPart(1, Buffer.from('abc')), await upload.putPart(2, Buffer.from('def'))]
    const info = await upload.complete(parts)
    assert.equal(info.etag, multipartEtag([md5Hex(Buffer.from('abc')), md5Hex(Buffer.from('def'))]))
    assert.equal(info.md5, md5Hex(Buffer.from('abcdef')))
    assert.equal((await store.head('k'))?.md5, info.md5)
  })
})

describe('file names of keys', () => {
  const segment = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.constantFrom(
      '',
      '.',
      '..',
      '...',
      '%',
      '%o',
      '%e',
      '%+',
      '%tmp',
      'A',
      'a',
      'x'.repeat(180),
      'x'.repeat(181),
      'ü'.repeat(61),
    ),
  )
  const key = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))

  it('stay below the root, are short enough, and are told apart even where case is not', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        const root = resolve('/root')
        const path = resolve(root, ...keyToPath(a))
        assert.ok(path.startsWith(root + sep))
        for (const name of keyToPath(a)) {
          assert.ok(Buffer.byteLength(name) <= 255 && !name.includes('/') && name !== '' && !/^\.+$/.test(name))
        }
        if (a !== b) assert.notEqual(keyToPath(a).join('/').toLowerCase(), keyToPath(b).join('/').toLowerCase())
      }),
    )
  })

  it('give the key back, and sort as the key does', () => {
    const parts = (value: string) => keyToPath(value).map((name) => decodeName(name)!.bytes)
    const compareParts = (a: Buffer[], b: Buffer[]): number => {
      const differs = a.findIndex((part, index) => !b[index] || !part.equals(b[index]))
      return differs < 0 ? a.length - b.length : b[differs] ? a[differs]!.compare(b[differs]) : 1
    }
    fc.assert(
      fc.property(key, key, (a, b) => {
        assert.deepEqual(Buffer.concat(parts(a)), Buffer.from(a))
        assert.equal(Math.sign(compareParts(parts(a), parts(b))), Math.sign(Buffer.from(a).compare(Buffer.from(b))))
      }),
    )
  })
})
