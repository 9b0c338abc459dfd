import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { type AccessEntry, openAccessLog } from './access-log.ts'
import { createLog, silentLog } from './log.ts'

const entry: AccessEntry = {
  time: '2026-01-01T00:00:00.000Z',
  door: 's3',
  requestId: '1',
  remote: '127.0.0.1',
  method: 'GET',
  operation: 'GetObject',
  bucket: 'master.images',
  key: 'a.png',
  status: 200,
  bytesIn: 0,
  bytesOut: 5,
  ms: 1,
}

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-access-'))
})
after(() => rm(folder, { recursive: true, force: true }))

describe('the access log', () => {
  it('has a line of JSON for each request, in a file that only its owner reads, and goes on where it was', async () => {
    const path = join(folder, 'access.log')
    for (const requestId of ['1', '2']) {
      const log = await openAccessLog(path, { log: silentLog })
      log.write({ ...entry, requestId })
      await log.close()
    }
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      [
        { ...entry, requestId: '1' },
        { ...entry, requestId: '2' },
      ],
    )
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  })

  it('keeps a request on one line, and shows a terminal nothing to act on, whatever a client sends', async () => {
    const path = join(folder, 'controls.log')
    const log = await openAccessLog(path, { log: silentLog })
    const key = 'a\r\n{"status":500}\u001b[2J\u009b2J\u2028\u0000\ud800"'
    log.write({ ...entry, key, userAgent: key })
    await log.close()
    const text = await readFile(path, 'utf8')
    assert.match(text, /^[\x20-\x7e]+\n$/)
    assert.equal((JSON.parse(text) as AccessEntry).key, key)
  })

  it('goes on in a new file when the old one was moved away, and loses no line', async () => {
    const path = join(folder, 'rotated.log')
    const log = await openAccessLog(path, { log: silentLog })
    for (let i = 0; i < 10; i++) log.write({ ...entry, requestId: String(i) })
    await rename(path, `${path}.1`)
    await log.reopen()
    log.write({ ...entry, requestId: 'new' })
    await log.close()
    assert.equal((await readFile(`${path}.1`, 'utf8')).split('\n').length - 1, 10)
    assert.match(await readFile(path, 'utf8'), /^[^\n]*"requestId":"new"[^\n]*\n$/)
  })

  it('that can not be opened is a fault of the configuration', async () => {
    await mkdir(join(folder, 'folder'))
    await assert.rejects(openAccessLog(join(folder, 'folder'), { log: silentLog }), {
      code: 'InvalidConfig',
      message: /SLUICE_ACCESS_LOG/,
    })
  })

  it('loses lines rather than memory when nobody takes them, counts them, and says so once', async () => {
    const said: string[] = []
    let release = () => {}
    const stuck = new Writable({
      write: (_bytes, _encoding, done) => {
        release = done
      },
    })
    const log = await openAccessLog('-', {
      log: createLog('warn', { write: (line) => said.push(line) }),
      stdout: stuck,
    })
    log.write(entry)
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (let i = 0; i < 100_000; i++) log.write(entry)
    assert.ok(log.lost > 50_000 && log.lost < 100_000, String(log.lost))
    assert.equal(said.length, 1)
    release()
    await new Promise((resolve) => setTimeout(resolve, 20))
    release()
    await log.close()
  })

  it('goes on after a write that failed, on a line of its own', async () => {
    let fail = true
    let written = ''
    const flaky = new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        written += fail ? bytes.toString().slice(0, 10) : bytes.toString()
        done()
      },
    })
    // A stream that reports a failed write and lives on, as a disk that was full for a while does.
    const reporting = Object.assign(flaky, {
      write: (text: string, done: (error?: Error) => void) => {
        written += fail ? text.slice(0, 10) : text
        done(fail ? new Error('no room') : undefined)
        fail = false
        return true
      },
    })
    const log = await openAccessLog('-', { log: silentLog, stdout: reporting })
    log.write(entry)
    await new Promise((resolve) => setTimeout(resolve, 20))
    log.write({ ...entry, requestId: 'after' })
    await log.close()
    assert.equal(log.lost, 1)
    assert.equal((JSON.parse(written.split('\n')[1]!) as AccessEntry).requestId, 'after')
  })

  it('is off where it is not wanted', async () => {
    assert.equal((await openAccessLog('off', { log: silentLog })).enabled, false)
  })
})
