import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { parseJsonStream, readSpecs } from './spec-file.ts'

describe('parseJsonStream', () => {
  it('takes one value, several, and arrays', () => {
    assert.deepEqual(parseJsonStream('{"a":1}', 'f'), [{ a: 1 }])
    assert.deepEqual(parseJsonStream('{"a":{"b":[1]}}\n{"c":2}[3]', 'f'), [{ a: { b: [1] } }, { c: 2 }, [3]])
    assert.deepEqual(parseJsonStream(' \n', 'f'), [])
  })

  it('does not count brackets within strings', () => {
    assert.deepEqual(parseJsonStream('{"a":"}\\"{"}{"b":"["}', 'f'), [{ a: '}"{' }, { b: '[' }])
  })

  it('says in which file and where a text is not JSON', () => {
    assert.throws(() => parseJsonStream('{"a":1}\n\n{"b":}', 'spec.json'), /spec\.json is not JSON.*line 3/)
    assert.throws(() => parseJsonStream('{"a":1', 'spec.json'), /spec\.json is not JSON/)
    assert.throws(() => parseJsonStream('pipeline: edges', 'spec.yaml'), /spec\.yaml is not JSON/)
  })
})

describe('readSpecs', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-spec-'))
  })
  after(() => rm(folder, { recursive: true }))

  const read = async (spec: unknown) => {
    const file = join(folder, 'pipeline.json')
    await writeFile(file, JSON.stringify(spec))
    return readSpecs(file, Readable.from([]))
  }
  const folderOf = (spec: unknown) => (spec as { transform: { working_dir?: string } }).transform.working_dir

  it("names the file's own folder as the place of the code, absolute", async () => {
    const [spec] = await read({ transform: { cmd: ['node', 'edges.ts'] } })
    assert.equal(folderOf(spec), folder)
  })

  it('resolves a given folder against the file', async () => {
    const [first, second] = await read([
      { transform: { working_dir: 'code' } },
      { transform: { working_dir: '/opt/code' } },
    ])
    assert.equal(folderOf(first), resolve(folder, 'code'))
    assert.equal(folderOf(second), '/opt/code')
  })

  it("leaves the folder of an image's code alone", async () => {
    assert.equal(folderOf((await read({ transform: { image: 'x', working_dir: 'y' } }))[0]), 'y')
    assert.equal(folderOf((await read({ transform: { image: 'x' } }))[0]), undefined)
  })

  it('leaves what is malformed to the server, which says what is wrong', async () => {
    assert.deepEqual(await read([{ transform: 'x' }, { transform: { working_dir: 7 } }]), [
      { transform: 'x' },
      { transform: { working_dir: 7 } },
    ])
  })

  it('reads standard input, with code in the current folder', async () => {
    const [spec] = await readSpecs('-', Readable.from(['{"transform":{}}']))
    assert.equal(folderOf(spec), resolve('.'))
  })

  it('says that a file is not there, or empty', async () => {
    await assert.rejects(readSpecs(join(folder, 'none.json'), Readable.from([])), /none\.json can't be read/)
    await assert.rejects(readSpecs('-', Readable.from([''])), /holds no specification/)
  })
})
