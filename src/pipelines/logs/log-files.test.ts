import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { silentLog } from '../../kernel/index.ts'
import { LogFiles, MAX_LOG_BYTES, type StoredLine } from './log-files.ts'

let folder = ''
let logs: LogFiles
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-logs-'))
  logs = new LogFiles({ folder, clock: { now: () => 1_000 }, log: silentLog })
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function all(lines: AsyncIterable<StoredLine>): Promise<string[]> {
  const texts: string[] = []
  for await (const { stream, text } of lines) texts.push(`${stream} ${text}`)
  return texts
}

describe('logs', () => {
  it('keep lines in order, whatever pieces they come in', async () => {
    const writer = logs.writer('job', 'datum')
    const bytes = Buffer.from('grün\nzweite Zeile\r\n\nohne Ende')
    for (const byte of bytes) writer.write('stdout', Buffer.from([byte]))
    writer.write('stderr', Buffer.from('oops\n'))
    await writer.close()
    assert.deepEqual(await all(logs.reader('job').read()), [
      'stdout grün',
      'stdout zweite Zeile',
      'stdout ',
      'stderr oops',
      'stdout ohne Ende',
    ])
  })

  it('are cut at their limit, and say so; the engine still gets its word in', async () => {
    const writer = logs.writer('job', 'datum')
    const line = Buffer.from(`${'x'.repeat(99_999)}\n`)
    for (let i = 0; i < 150; i++) writer.write('stdout', line)
    writer.system('try 1 of 3 failed')
    await writer.close()
    assert.ok(statSync(join(folder, 'job', 'datum.log')).size < MAX_LOG_BYTES + 200_000)
    const lines = await all(logs.reader('job').read())
    assert.deepEqual(lines.slice(-2), [
      'system the log is cut here: it has more than 10 MiB',
      'system try 1 of 3 failed',
    ])
  })

  it('take a line without end and bytes that are no text in bounded memory', async () => {
    const writer = logs.writer('job', 'datum')
    for (let i = 0; i < 20; i++) writer.write('stdout', Buffer.alloc(10_000, 0xff))
    await writer.close()
    const lines = await all(logs.reader('job').read())
    assert.ok(lines.length > 3 && lines.every((line) => line.length < 70_000))
  })

  it('read on from where they were, and show how the job ended last, and one datum alone', async () => {
    const writer = logs.writer('job', 'bb')
    writer.write('stdout', Buffer.from('one\npart'))
    await writer.close()
    const reader = logs.reader('job')
    assert.deepEqual(await all(reader.read()), ['stdout one', 'stdout part'])
    await logs.say('job', 'failure: it did')
    const other = logs.writer('job', 'aa')
    other.write('stderr', Buffer.from('two\n'))
    await other.close()
    assert.deepEqual(await all(reader.read()), ['stderr two', 'system failure: it did'])
    assert.deepEqual(await all(reader.read()), [])
    assert.deepEqual(await all(logs.reader('job', 'bb').read()), ['stdout one', 'stdout part'])
    await logs.delete('job')
    assert.deepEqual(await all(logs.reader('job').read()), [])
  })
})
