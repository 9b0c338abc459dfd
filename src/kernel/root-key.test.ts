import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { InvalidInput } from './errors.ts'
import { loadRootKey, rootKeyFile } from './root-key.ts'

describe('the root key', () => {
  let dataFolder: string
  beforeEach(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), 'sluice-key-'))
  })
  afterEach(() => rm(dataFolder, { recursive: true, force: true }))

  it('is made once, kept, and readable by its owner alone', async () => {
    const made = await loadRootKey({ dataFolder, rootKey: undefined })
    assert.deepEqual(await loadRootKey({ dataFolder, rootKey: undefined }), made)
    assert.equal((await stat(rootKeyFile(dataFolder))).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(dataFolder), ['root-key.json'])
  })

  it('is one and the same for all who make it at once', async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadRootKey({ dataFolder, rootKey: undefined })))
    assert.equal(new Set(keys.map((key) => key.secretAccessKey)).size, 1)
  })

  it('is what the configuration says, and then kept nowhere', async () => {
    const rootKey = { accessKeyId: 'me', secretAccessKey: 'sixteen letters!' }
    assert.deepEqual(await loadRootKey({ dataFolder, rootKey }), rootKey)
    assert.deepEqual(await readdir(dataFolder), [])
  })

  it('is not replaced when its file does not make sense', async () => {
    await writeFile(rootKeyFile(dataFolder), '{"accessKeyId":')
    await assert.rejects(loadRootKey({ dataFolder, rootKey: undefined }), InvalidInput)
  })
})
