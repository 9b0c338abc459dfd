import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'
import { type Files, Harness, signalled } from './testing/harness.ts'

const opened: Harness[] = []
async function harness(): Promise<Harness> {
  const h = await Harness.open()
  opened.push(h)
  return h
}
afterEach(async () => {
  for (const h of opened.splice(0)) await h.close()
})

const id = (digit: string) => digit.repeat(32)
const numbered = (n: number) => n.toString(16).padStart(32, '0')
const settings = (more: Partial<PushSettings>): PushSettings => ({ ...PLAIN_SETTINGS, ...more })
const withManifest = settings({ manifests: [{ path: 'manifest.json' }] })
const withMark = settings({ success: true })

describe('a manifest', () => {
  it('has the form that AWS documents for COPY, and lists what has rows', async () => {
    const h = await harness()
    const files = {
      'orders/part-0.parquet': 'twelve bytes',
      'orders/ü "1" a+b.csv': 'x',
      'orders/_day=1/a': 'y',
      'orders/empty': '',
      'orders/': '',
      'orders/_SUCCESS': 'ok',
      'orders/_metadata/a': 'm',
      'orders/.part-0.crc': 'c',
      _SUCCESS: '',
    }
    await h.push('1', files, { url: 's3://bucket/out', settings: withManifest })
    const held = await h.held()
    assert.equal(
      held['manifest.json'],
      [
        '{"entries":[',
        '{"url":"s3://bucket/out/orders/_day=1/a","mandatory":true,"meta":{"content_length":1}},',
        '{"url":"s3://bucket/out/orders/part-0.parquet","mandatory":true,"meta":{"content_length":12}},',
        '{"url":"s3://bucket/out/orders/ü \\"1\\" a+b.csv","mandatory":true,"meta":{"content_length":1}}',
        ']}',
        '',
      ].join('\n'),
    )
    const info = await h.target.head('manifest.json')
    assert.equal(info?.contentType, 'application/json')
    assert.equal(info?.metadata['sluice-pipeline'], 'edges')
  })

  it('comes after the data and before what is gone is deleted', async () => {
    const h = await harness()
    await h.push('1', { a: '1', gone: 'x', _SUCCESS: '' }, { settings: withManifest })
    h.target.log.length = 0
    await h.push('2', { a: '2', _SUCCESS: 'new' }, { settings: withManifest })
    assert.deepEqual(h.target.log, ['put a', 'put manifest.json', 'delete gone', 'put _SUCCESS'])
  })

  it('is not sent again where it is the same', async () => {
    const h = await harness()
    await h.push('1', { a: '1' }, { settings: withManifest })
    h.target.log.length = 0
    const status = await h.push('2', { a: '2' }, { settings: withManifest })
    assert.deepEqual(h.target.log, ['put a'])
    assert.deepEqual([status.filesTotal, status.filesDone, status.filesSkipped], [2, 1, 1])
    const same = await h.push('3', { a: '2' }, { settings: withManifest })
    assert.deepEqual([same.filesTotal, same.filesDone, same.filesSkipped], [2, 0, 2])
  })

  it('is made for each glob, and is gone when it is not asked for any more', async () => {
    const h = await harness()
    const manifests = [
      { path: 'manifests/orders', glob: '/orders/*' },
      { path: 'manifests/rest', glob: '/*.csv' },
    ]
    const files = { 'orders/2026/a': '1', 'people/b': '2', 'c.csv': '3' }
    await h.push('1', files, { settings: settings({ manifests }) })
    const urls = (text: string | undefined) =>
      (JSON.parse(text ?? '') as { entries: { url: string }[] }).entries.map(({ url }) => url)
    const held = await h.held()
    assert.deepEqual(urls(held['manifests/orders']), ['s3://bucket/orders/2026/a'])
    assert.deepEqual(urls(held['manifests/rest']), ['s3://bucket/c.csv'])
    await h.push('2', files)
    assert.deepEqual(await h.held(), files)
  })

  it('of a name that a file of the commit has fails the push before anything is sent, and names both', async () => {
    const h = await harness()
    const status = await h.push('1', { a: '1', 'manifest.json': '{}' }, { settings: withManifest })
    assert.equal(status.state, 'failed')
    assert.match(status.reason!, /has a file manifest\.json, and egress\.manifest asks for a manifest of that name/)
    assert.deepEqual(await h.held(), {})
  })
})

describe('_SUCCESS where it is asked for', () => {
  it('is put last, and away before the first change', async () => {
    const h = await harness()
    await h.push('1', { a: '1', gone: 'x' }, { settings: withMark })
    assert.deepEqual(await h.held(), { _SUCCESS: '', a: '1', gone: 'x' })
    await h.push('2', { a: '2' }, { settings: withMark })
    assert.deepEqual(h.target.log, ['delete _SUCCESS', 'put a', 'delete gone', 'put _SUCCESS'])
    h.target.log.length = 0
    await h.push('3', { a: '2' }, { settings: withMark })
    assert.deepEqual(h.target.log, [])
  })

  it('is not there while a push that failed has left some of each', async () => {
    const h = await harness()
    await h.push('1', { a: '1', b: '1' }, { settings: withMark })
    h.target.before = (operation, key) => {
      if (operation === 'put' && key === 'b') throw new StoreDenied('no')
    }
    const failed = await h.push('2', { a: '2', b: '2' }, { settings: withMark })
    assert.equal(failed.state, 'failed')
    assert.equal((await h.held())['_SUCCESS'], undefined)
    h.target.before = () => undefined
    await h.push('3', { a: '2', b: '2' }, { settings: withMark })
    assert.deepEqual(await h.held(), { _SUCCESS: '', a: '2', b: '2' })
  })

  it("is the commit's own where it has one", async () => {
    const h = await harness()
    await h.push('1', { _SUCCESS: 'mine', a: '1' }, { settings: withMark })
    await h.push('2', { _SUCCESS: 'mine', a: '2' }, { settings: withMark })
    assert.deepEqual(h.target.log.slice(-3), ['delete _SUCCESS', 'put a', 'put _SUCCESS'])
    assert.deepEqual(await h.held(), { _SUCCESS: 'mine', a: '2' })
    await h.push('3', { a: '2' }, { settings: withMark })
    assert.deepEqual(await h.held(), { _SUCCESS: '', a: '2' })
  })
})

describe('a target in the folder of another of the same owner', () => {
  it('is left alone by it', async () => {
    const h = await harness()
    const outer = { url: 's3://bucket' }
    const inner = { url: 's3://bucket/archive' }
    await h.push('1', { a: '1', 'archive/old': '1', 'archive/both': '1' }, outer)
    await h.push('2', { kept: '1', both: '2' }, inner)
    await h.push('3', { a: '2' }, { ...outer, settings: withManifest })
    // Neither has deleted but its own.
    assert.deepEqual(h.target.keysOf('delete'), ['archive/old'])
    const rows = await h.db.all<{ key: string }>('SELECT key FROM egress_object ORDER BY key')
    assert.deepEqual(
      rows.map(({ key }) => key),
      ['a', 'archive/both', 'archive/kept', 'manifest.json'],
    )
    // What one took over from the other comes back with its next push.
    await h.push('4', { a: '2', 'archive/both': '1' }, { ...outer, settings: withManifest })
    h.target.log.length = 0
    await h.push('5', { kept: '1', both: '2' }, inner)
    assert.deepEqual(h.target.keysOf('put'), ['both'])
  })
})

describe('a folder for each commit', () => {
  const folders = settings({ layout: 'commit', success: true, manifests: [{ path: 'manifest.json' }] })

  it('holds all of it, copied inside the store where it was there already', async () => {
    const h = await harness()
    await h.push('1', { a: '1', same: 's' }, { url: 's3://bucket/out', settings: folders, commit: id('a') })
    const first = await h.held()
    assert.deepEqual(Object.keys(first), [
      ...['_SUCCESS', 'a', 'manifest.json', 'same'].map((name) => `${id('a')}/${name}`),
      'latest',
      'manifest.json',
    ])
    assert.equal(first['latest'], `${id('a')}\n`)
    await h.push('2', { a: '2', same: 's' }, { url: 's3://bucket/out', settings: folders, commit: id('b') })
    const log = h.target.log.filter((line) => !line.startsWith('head '))
    assert.deepEqual(log.slice(0, 2).sort(), [`copy ${id('a')}/same`, `put ${id('b')}/a`])
    assert.deepEqual(log.slice(2), [
      `put ${id('b')}/manifest.json`,
      `put ${id('b')}/_SUCCESS`,
      'put manifest.json',
      'put latest',
    ])
    const held = await h.held()
    assert.equal(held[`${id('b')}/same`], 's')
    assert.equal(held['latest'], `${id('b')}\n`)
    assert.match(held['manifest.json']!, new RegExp(`s3://bucket/out/${id('b')}/a"`))
    assert.equal(held['manifest.json'], held[`${id('b')}/manifest.json`])
    assert.equal(held[`${id('a')}/a`], '1')
  })

  it('says of all where it comes from; a copy, which commit has brought it there', async () => {
    const h = await harness()
    await h.push('1', { same: 's' }, { settings: folders, commit: id('a') })
    await h.push('2', { same: 's', a: '2' }, { settings: folders, commit: id('b') })
    const commitOf = async (path: string) => (await h.target.head(path))?.metadata['sluice-commit']
    for (const path of ['latest', 'manifest.json', `${id('b')}/manifest.json`, `${id('b')}/_SUCCESS`, `${id('b')}/a`]) {
      assert.equal(await commitOf(path), id('b'), path)
    }
    assert.equal(await commitOf(`${id('b')}/same`), id('a'))
  })

  it('sends nothing for the same commit again', async () => {
    const h = await harness()
    await h.push('1', { a: '1' }, { settings: folders, commit: id('a') })
    h.target.log.length = 0
    const status = await h.push('2', { a: '1' }, { settings: folders, commit: id('a') })
    assert.deepEqual(h.target.log, [])
    assert.deepEqual([status.state, status.filesDone, status.filesSkipped], ['success', 0, status.filesTotal])
  })

  it('is sent where what could be copied is not what we put there', async () => {
    const h = await harness()
    await h.push('1', { a: 'right' }, { settings: folders, commit: id('a') })
    await h.target.put(`${id('a')}/a`, Buffer.from('wrong'), 5)
    await h.push('2', { a: 'right' }, { settings: folders, commit: id('b') })
    const held = await h.held()
    assert.deepEqual([held[`${id('a')}/a`], held[`${id('b')}/a`]], ['wrong', 'right'])
  })

  it('is sent where the ETag of what could be copied is not ours, though its bytes would be', async () => {
    const h = await harness()
    await h.push('1', { a: 'right' }, { settings: folders, commit: id('a') })
    await h.db.write((tx) => tx.run("UPDATE egress_object SET etag = 'other'"))
    h.target.log.length = 0
    await h.push('2', { a: 'right' }, { settings: folders, commit: id('b') })
    assert.deepEqual(h.target.keysOf('copy'), [])
    assert.ok(h.target.keysOf('put').includes(`${id('b')}/a`))
  })

  it('keeps as many folders as asked for, and what is not ours', async () => {
    const h = await harness()
    await h.target.put(`${id('1')}/theirs`, Buffer.from('x'), 1)
    const kept = settings({ layout: 'commit', keep: 2 })
    for (const [index, digit] of ['1', '2', '3', '4'].entries()) {
      await h.push(String(index), { a: digit }, { settings: kept, commit: id(digit) })
    }
    assert.deepEqual(await h.held(), {
      [`${id('1')}/theirs`]: 'x',
      [`${id('3')}/a`]: '3',
      [`${id('4')}/a`]: '4',
      latest: `${id('4')}\n`,
    })
  })

  it('of a push that was asked for earlier does not take `latest` back; one asked for later does', async () => {
    const h = await harness()
    const kept = settings({ layout: 'commit', keep: 2 })
    h.target.before = (operation) => {
      if (operation === 'put') throw new StoreDenied('no')
    }
    assert.equal((await h.push('old', { a: 'old' }, { settings: kept, commit: id('1') })).state, 'failed')
    h.target.before = () => undefined
    await h.push('new', { a: 'new' }, { settings: kept, commit: id('2') })
    await h.push('newer', { a: 'newer' }, { settings: kept, commit: id('3') })
    await h.db.write((tx) => tx.run("UPDATE egress_push SET state = 'waiting', reason = NULL WHERE id = 'old'"))
    await h.crash()
    assert.equal((await h.ended('old')).state, 'success')
    const held = await h.held()
    assert.equal(held['latest'], `${id('3')}\n`)
    assert.equal(held[`${id('1')}/a`], 'old')
    await h.push('back', { a: 'new' }, { settings: kept, commit: id('2') })
    assert.equal((await h.held())['latest'], `${id('2')}\n`)
  })

  it('is gone when the layout is not asked for any more, and the other way round', async () => {
    const h = await harness()
    await h.push('1', { a: '1', b: '1' })
    await h.push('2', { a: '1' }, { settings: folders, commit: id('b') })
    assert.deepEqual(
      Object.keys(await h.held()).filter((path) => !path.startsWith(id('b'))),
      ['latest', 'manifest.json'],
    )
    await h.push('3', { a: '1' })
    assert.deepEqual(await h.held(), { a: '1' })
    assert.deepEqual(await h.db.all('SELECT * FROM egress_folder'), [])
  })

  it('shows whoever follows `latest` whole commits only, over twenty of them', async () => {
    const h = await harness()
    const commits = Array.from({ length: 20 }, (_, index) => numbered(index))
    const names = Array.from({ length: 8 }, (_, index) => `part-${index}`)
    const seen = new Set<string>()
    let done = false
    const reader = (async () => {
      while (!done) {
        // Not there before the first push has ended.
        const latest = (await h.target.head('latest')) && (await h.target.get('latest'))
        if (!latest) continue
        const commit = String(await buffer(latest)).trim()
        const texts = await Promise.all(
          names.map(async (name) => String(await buffer(await h.target.get(`${commit}/${name}`)))),
        )
        assert.equal(new Set(texts).size, 1, `${commit} is a mix: ${texts}`)
        seen.add(commit)
      }
    })()
    const kept = settings({ layout: 'commit', keep: 2 })
    for (const [index, commit] of commits.entries()) {
      const files: Files = Object.fromEntries(names.map((name) => [name, String(index)]))
      const status = await h.push(String(index), files, { settings: kept, commit })
      assert.equal(status.reason, undefined)
    }
    done = true
    await reader
    assert.ok(seen.size > 3, String(seen.size))
  })

  it('goes on wherever a crash has cut it off', async () => {
    const h = await harness()
    const kept = settings({ layout: 'commit', keep: 2, success: true, manifests: [{ path: 'manifest.json' }] })
    const files = (text: string) => ({ a: text, b: text, same: 's' })
    for (const digit of ['1', '2', '3']) await h.push(digit, files(digit), { settings: kept, commit: id(digit) })
    let cuts = 0
    for (; ; cuts++) {
      const commit = numbered(cuts)
      const wanted = files(`cut ${cuts}`)
      let left = cuts
      const cut = signalled()
      let wasCut = false
      h.target.before = () => {
        if (left-- > 0 || wasCut) return
        wasCut = true
        h.cut()
        cut.call()
        return new Promise(() => undefined)
      }
      const job = `cut-${cuts}`
      await h.request(job, await h.tree(wanted), { settings: kept, commit })
      await Promise.race([cut.promise, h.ended(job)])
      h.target.before = () => undefined
      if (!wasCut) break
      await h.crash()
      const status = await h.ended(job)
      assert.equal(status.state, 'success', status.reason)
      const held = await h.held()
      assert.equal(held['latest'], `${commit}\n`)
      for (const [path, text] of Object.entries({ ...wanted, _SUCCESS: '' })) {
        assert.equal(held[`${commit}/${path}`], text)
      }
      assert.equal(held['manifest.json'], held[`${commit}/manifest.json`])
      assert.equal(
        new Set(
          Object.keys(held)
            .filter((path) => path.includes('/'))
            .map((path) => path.slice(0, 32)),
        ).size,
        2,
      )
    }
    assert.ok(cuts >= 10, String(cuts))
  })
})
