import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createLog, silentLog } from './log.ts'
import { Metrics } from './metrics.ts'
import { measureProcess } from './process-metrics.ts'

/** A line of the format: `name{label="value",…} number`. */
const sampleLine = /^[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)+\})? -?(\d+(\.\d+)?(e[+-]\d+)?|\+Inf|NaN)$/

describe('the text of the metrics', () => {
  it('has help, type and every series of a counter', async () => {
    const metrics = new Metrics(silentLog)
    const requests = metrics.counter('a_requests_total', 'Requests.', ['operation', 'status'])
    requests('GetObject', '200').add()
    requests('GetObject', '200').add(2)
    requests('GetObject', '404').add()
    assert.equal(
      await metrics.render(),
      '# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n' +
        'a_requests_total{operation="GetObject",status="200"} 3\na_requests_total{operation="GetObject",status="404"} 1\n',
    )
  })

  it('counts each duration in every bucket that it fits', async () => {
    const metrics = new Metrics(silentLog)
    const seconds = metrics.histogram('a_seconds', 'Durations.', ['operation'])
    for (const value of [0.0001, 0.003, 0.003, 2_000]) seconds('PutObject').observe(value)
    const text = await metrics.render()
    assert.match(text, /^# TYPE a_seconds histogram$/m)
    assert.match(text, /^a_seconds_bucket\{operation="PutObject",le="0.0005"\} 1$/m)
    assert.match(text, /^a_seconds_bucket\{operation="PutObject",le="0.005"\} 3$/m)
    assert.match(text, /^a_seconds_bucket\{operation="PutObject",le="900"\} 3$/m)
    assert.match(text, /^a_seconds_bucket\{operation="PutObject",le="\+Inf"\} 4$/m)
    assert.match(text, /^a_seconds_sum\{operation="PutObject"\} 2000\.0061$/m)
    assert.match(text, /^a_seconds_count\{operation="PutObject"\} 4$/m)
  })

  it('escapes what a label may hold', async () => {
    const metrics = new Metrics(silentLog)
    metrics.counter('a_total', 'With \\ and\na line.', ['label'])('a"b\\c\nd').add()
    assert.equal(
      await metrics.render(),
      '# HELP a_total With \\\\ and\\na line.\n# TYPE a_total counter\na_total{label="a\\"b\\\\c\\nd"} 1\n',
    )
  })

  it('does not grow with what clients send', async () => {
    const metrics = new Metrics(silentLog)
    const counter = metrics.counter('a_total', 'By key.', ['key'])
    for (let i = 0; i < 10_000; i++) counter(`key-${i}`).add()
    const text = await metrics.render()
    assert.ok(text.split('\n').length < 2_010)
    assert.match(text, /^a_total\{key="other"\} 8000$/m)
  })

  it('leaves out what can not be read, says so in the log, and has the rest', async () => {
    const lines: string[] = []
    const metrics = new Metrics(createLog('warn', { write: (line) => lines.push(line) }))
    metrics.read('a_broken', 'Fails.', () => Promise.reject(new Error('the disk failed')))
    metrics.read('a_whole', 'Does not.', async () => [[['x'], 1]], { labels: ['kind'] })
    assert.equal(await metrics.render(), '# HELP a_whole Does not.\n# TYPE a_whole gauge\na_whole{kind="x"} 1\n')
    assert.match(lines.join(''), /a_broken.*the disk failed/)
  })

  it('has each name once', () => {
    const metrics = new Metrics(silentLog)
    metrics.counter('a_total', '')
    assert.throws(() => metrics.read('a_total', '', () => 1), /there twice/)
  })

  it('tells of the process, in lines of the format', async () => {
    const metrics = new Metrics(silentLog)
    const stop = measureProcess(metrics)
    // Twice: the delay of the event loop is counted from one scrape to the next.
    for (let i = 0; i < 2; i++) {
      const text = await metrics.render()
      for (const line of text.trimEnd().split('\n')) {
        if (!line.startsWith('#')) assert.match(line, sampleLine)
      }
      assert.match(text, /^process_resident_memory_bytes \d{7,}$/m)
      assert.match(text, /^sluice_event_loop_delay_seconds\{quantile="0.99"\} /m)
    }
    stop()
  })
})
