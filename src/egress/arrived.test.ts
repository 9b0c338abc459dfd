import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { ListPage, ObjectInfo } from '../cloud/index.ts'
import { type FileEntry, parsePath } from '../versioning/index.ts'
import { isAsItShouldBe, mayHaveArrived } from './arrived.ts'
import { LIST_FROM_FILES } from './limits.ts'

const md5 = createHash('md5').update('text').digest('hex')

function fileOf(path: string, more: Partial<FileEntry> = {}): FileEntry {
  return {
    path: parsePath(path),
    size: 4,
    etag: md5,
    versionId: 'v',
    modifiedMs: 0,
    content: { kind: 'inline', bytes: Buffer.from('text') },
    attributes: { metadata: { colour: 'red' }, contentType: 'text/plain' },
    ...more,
  } as FileEntry
}

describe('what a push that died had sent', () => {
  const info: ObjectInfo = {
    key: 'a',
    size: 4,
    etag: md5,
    md5,
    modifiedMs: 0,
    contentType: 'text/plain',
    metadata: { colour: 'red', 'sluice-commit': 'of another push' },
  }

  it('is there if its bytes and its description are', () => {
    assert.equal(isAsItShouldBe(info, fileOf('a'), {}), true)
  })

  it('is not there if anything of it differs', () => {
    for (const different of [
      { size: 5 },
      { md5: 'f'.repeat(32) },
      { contentType: 'text/html' },
      { metadata: { colour: 'blue' } },
      { metadata: {} },
      { metadata: { colour: 'red', shape: 'of an older version' } },
    ]) {
      assert.equal(isAsItShouldBe({ ...info, ...different }, fileOf('a'), {}), false, JSON.stringify(different))
    }
  })

  it('is not there if it has a type that the file has not, but for what stores call it by themselves', () => {
    const plain = fileOf('a', { attributes: { metadata: { colour: 'red' } } })
    const { contentType: _, ...untyped } = info
    for (const contentType of ['application/octet-stream', 'binary/octet-stream']) {
      assert.equal(isAsItShouldBe({ ...info, contentType }, plain, {}), true)
    }
    assert.equal(isAsItShouldBe(untyped, plain, {}), true)
    assert.equal(isAsItShouldBe(info, plain, {}), false)
  })

  it('is known by its own word where the store says no MD5 that is to be believed, and not known without it', () => {
    const { md5: _, ...unsure } = info
    const facts = { 'sluice-sha256': 'hash' }
    const said = (value: string) => ({ ...unsure, metadata: { ...info.metadata, 'sluice-sha256': value } })
    assert.equal(isAsItShouldBe(unsure, fileOf('a'), facts), false)
    assert.equal(isAsItShouldBe(said('hash'), fileOf('a'), facts), true)
    assert.equal(isAsItShouldBe(said('other'), fileOf('a'), facts), false)
    assert.equal(isAsItShouldBe(unsure, fileOf('a'), {}), false)
  })
})

describe('which files are worth asking for', () => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => String(index).padStart(6, '0'))

  /** A target with these objects, whose pages are short. */
  function listing(objects: ReadonlyMap<string, number>, pageSize = 1000) {
    const asked: string[] = []
    const list = async ({ after = '' } = {}): Promise<ListPage> => {
      asked.push(after)
      const keys = [...objects.keys()].filter((key) => key > after).sort()
      const page = keys.slice(0, pageSize)
      const found = page.map((key) => ({ key, size: objects.get(key) ?? 0, etag: '', modifiedMs: 0 }))
      return { objects: found, ...(keys.length > pageSize ? { next: page.at(-1) ?? '' } : {}) }
    }
    return { list, asked }
  }

  it('are all, without a listing, where they are few', async () => {
    const { list, asked } = listing(new Map())
    const files = names(LIST_FROM_FILES - 1).map((name) => fileOf(name))
    assert.equal((await mayHaveArrived(files, list)).size, files.length)
    assert.deepEqual(await mayHaveArrived([], list), new Set())
    assert.deepEqual(asked, [])
  })

  it('are those that a listing shows with their size, and the first, which it begins after', async () => {
    const there = new Map([
      ['000007', 4],
      ['000008', 5],
      ['foreign', 4],
    ])
    const { list, asked } = listing(there)
    const files = names(100).map((name) => fileOf(name))
    assert.deepEqual(await mayHaveArrived(files, list), new Set(['000000', '000007']))
    assert.equal(asked.length, 1)
  })

  it('are also all that lie further than a listing is worth going', async () => {
    const crowd = new Map(names(10_000).map((name) => [name, 1]))
    const { list, asked } = listing(crowd, 1000)
    const files = [...names(99), '009999'].map((name) => fileOf(name))
    assert.deepEqual(await mayHaveArrived(files, list), new Set(['000000', '009999']))
    assert.equal(asked.length, 2)
  })
})
