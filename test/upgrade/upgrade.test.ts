import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KeptFacts, layOut, MIB, textOfPart } from './kept-store.ts'
import { dieWhileMigrating, Upgraded } from './upgraded.ts'

// How long a job may take on a busy machine.
const JOB_TRIES = 300

describe('a store of schema version 1, left behind by a crash', () => {
  let base: string
  let facts: KeptFacts
  let server: Upgraded

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'))
    const folder = join(base, 'data')
    facts = await layOut('version-1', folder)
    // Before, in and right after the large migration.
    await dieWhileMigrating(folder, 2, (all) => [1, 2, all / 2, all + 1, all + 2])
    server = await Upgraded.start(folder)
  })
  after(async () => {
    await server?.close()
    await rm(base, { recursive: true, force: true })
  })

  it('shows what was acknowledged, in commits and since, and what was deleted stays so', async () => {
    assert.deepEqual(await server.keysOf('images'), [
      'a.txt',
      'c.txt',
      'dir/b.txt',
      'done.bin',
      'table/_temporary/part',
    ])
    assert.equal(await server.textOf('images/a.txt'), 'three')
    assert.equal(await server.textOf('images/c.txt'), 'in the open batch')
    assert.equal(await server.textOf('images/dir/b.txt'), 'b'.repeat(2000))
    assert.equal(await server.textOf('images/big.bin'), 404)
    const { first, second, restored, output } = facts.commits
    assert.deepEqual(await server.keysOf(`${second}.images`), ['a.txt', 'big.bin', 'table/_temporary/part'])
    assert.equal(await server.textOf(`${first}.images/a.txt`), 'one')
    assert.equal(await server.textOf(`${second}.images/a.txt`), 'two')
    assert.equal(await server.textOf(`${restored}.images/a.txt`), 'one')
    assert.equal(await server.textOf(`${output}.copies/a.txt`), 'two')
    assert.equal(await server.textOf('dev.images/d.txt'), 'written into a commit that is held open')
    const big = await server.bytesOf(`${first}.images/big.bin`)
    assert.ok(big.equals(Buffer.alloc(3 * MIB, 'big')))
    const head = await server.s3('HEAD', `${first}.images/a.txt`)
    assert.equal(head.headers.get('content-type'), 'text/x-first')
    assert.equal(head.headers.get('x-amz-meta-colour'), 'blue')
  })

  it('lists its changes as versions, by the ids that their writers were told', async () => {
    await server.assertVersions(facts.versions)
    // A file that lies where scratch files do now is a version all the same.
    assert.equal((await server.s3('DELETE', 'images/table/_temporary/part')).status, 204)
    assert.equal(await server.textOf('images/table/_temporary/part'), 404)
    assert.equal((await server.s3('PUT', 'images/table/_temporary/part', 'scratch')).status, 200)
    assert.equal(await server.textOf('images/table/_temporary/part'), 'scratch')
    assert.match(await (await server.s3('GET', 'images?versions&prefix=table')).text(), /<DeleteMarker>.*<Version>/s)
  })

  it('goes on with uploads, and answers a Complete asked again', async () => {
    const { done, complete, open } = facts.uploads
    assert.equal((await server.s3('POST', `images/done.bin?uploadId=${done}`, complete)).status, 200)
    const bytes = await server.bytesOf('images/done.bin')
    assert.ok(bytes.equals(Buffer.concat([textOfPart(1), textOfPart(2)])))
    assert.match(await (await server.s3('GET', 'images?uploads')).text(), new RegExp(`<UploadId>${open}</UploadId>`))
    await server.completeHalf(facts.uploads)
  })

  it('finishes what was open, and its pipeline goes on', async () => {
    const dev = (await (await server.api('POST', '/v1/repos/images/branches/dev/finish', '{}')).json()) as {
      message: string
    }
    assert.equal(dev.message, 'held open')
    assert.equal((await server.api('POST', '/v1/repos/images/branches/master/finish', '{}')).status, 200)
    assert.equal(await server.textOf('images/a.txt'), 'three')
    assert.equal(await server.textOf('images/dir/b.txt'), 'b'.repeat(2000))
    let made: string | number = 404
    for (let attempt = 0; attempt < JOB_TRIES && made !== 'three'; attempt++) {
      made = await server.textOf('copies/a.txt')
      await sleep(100)
    }
    assert.equal(made, 'three')
  })
})
