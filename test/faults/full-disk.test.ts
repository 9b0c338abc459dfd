import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../../conformance/server.ts'
import { type Client, createClient } from './client.ts'
import { mountBallastedDisk } from './small-disk.ts'
import { bytesOf } from './workload.ts'

const OBJECT_BYTES = 200_000
const bucket = 'master.full'

describe('a full disk', () => {
  it('refuses writes with 503, keeps reading, and writes again when there is room', { timeout: 300_000 }, async (t) => {
    const disk = await mountBallastedDisk(t, { diskMb: 48, ballastMb: 12 })
    if (!disk) return
    const { data: folder, ballast } = disk

    const credentials = testCredentials()
    const environment = { SLUICE_BATCH_IDLE_MS: '300', SLUICE_LOG_LEVEL: 'warn' }
    let server: Server = await startServer({ folder, credentials, environment })
    let client: Client = createClient(server.s3Url, credentials)
    t.after(async () => {
      client.close()
      if (!server.ended) await server.kill()
      await disk.remove()
    })
    assert.equal((await client.send('PUT', `/${bucket}`)).status, 200)
    const acknowledged: number[] = []
    let next = 0
    const put = async () => {
      const seed = ++next
      const { status, body } = await client.send('PUT', `/${bucket}/${seed}`, { body: bytesOf(seed, OBJECT_BYTES) })
      if (status === 200) acknowledged.push(seed)
      else assert.equal(status, 503, body.toString())
      return status
    }
    const readAll = async (when: string) => {
      for (const seed of acknowledged) {
        const { status, body } = await client.send('GET', `/${bucket}/${seed}`)
        assert.equal(status, 200, `${when}: object ${seed}: ${body.toString().slice(0, 300)}`)
        assert.ok(body.equals(bytesOf(seed, OBJECT_BYTES)), `${when}: object ${seed} has other bytes`)
      }
    }

    // Four at a time, so that a whole group of writes meets the end of the disk, and not once but for a while.
    for (let refused = 0; refused < 20; ) {
      const statuses = await Promise.all([put(), put(), put(), put()])
      refused += statuses.filter((status) => status === 503).length
      assert.ok(next < 5_000, 'the disk does not get full')
    }
    assert.ok(acknowledged.length > 20, `only ${acknowledged.length} objects fitted`)
    await readAll('while the disk is full')
    const listed = await client.send('GET', `/${bucket}`, { query: 'list-type=2' })
    assert.equal(listed.status, 200)
    const missing = await client.send('GET', `/${bucket}/never-written`)
    assert.equal(missing.status, 404)

    await rm(ballast)
    const deadline = Date.now() + 30_000
    while ((await put()) === 503) {
      assert.ok(Date.now() < deadline, `writes do not resume when there is room again:\n${server.output()}`)
      await sleep(100)
    }
    assert.equal(await put(), 200)
    await readAll('after there was room again')

    await server.kill()
    client.close()
    server = await startServer({ folder, credentials, environment })
    client = createClient(server.s3Url, credentials)
    await readAll('after a kill and a restart')
    assert.equal(await put(), 200)
    await server.stop()
  })
})
