import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { setImmediate as tick } from 'node:timers/promises'
import { linesStream } from './lines.ts'

const options = {
  errorLine: (error: unknown) => ({ error: (error as Error).message }),
  closing: new AbortController().signal,
}

async function* failing(after: number, error: Error): AsyncGenerator<number> {
  for (let value = 1; value <= after; value++) yield value
  throw error
}

async function* some(): AsyncGenerator<unknown> {
  yield { a: 1 }
  yield '\n'
}

describe('linesStream', () => {
  it('writes a line per item', async () => {
    assert.equal(await text(await linesStream(some(), options)), '{"a":1}\n"\\n"\n')
  })

  it('takes from its source no faster than the client reads', async () => {
    let made = 0
    async function* many(): AsyncGenerator<string> {
      for (; made < 100_000; made++) yield 'x'.repeat(1000)
    }
    const stream = await linesStream(many(), options)
    stream.read()
    for (let turn = 0; turn < 1000; turn++) await tick()
    assert.ok(made < 1000, String(made))
    stream.destroy()
  })

  it('fails as a whole when nothing was sent yet, so that the answer has a status', async () => {
    await assert.rejects(linesStream(failing(0, new Error('no such job')), options), /no such job/)
  })

  it('ends with the error when lines were sent before', async () => {
    const stream = await linesStream(failing(2, new Error('gone')), options)
    assert.equal(await text(stream), '1\n2\n{"error":"gone"}\n')
  })

  it('says so when it ends because the server stops, so that nobody takes it for the end', async () => {
    const stream = await linesStream(some(), { ...options, closing: AbortSignal.abort() })
    assert.match(await text(stream), /the server is stopping/)
  })

  it('shows a sign of life while its source is silent', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] })
    const line = Promise.withResolvers<string>()
    async function* slow(): AsyncGenerator<string> {
      yield 'first'
      yield await line.promise
    }
    const stream = await linesStream(slow(), options)
    const all = text(stream)
    await tick()
    context.mock.timers.tick(31_000)
    line.resolve('second')
    assert.equal(await all, '"first"\n\n\n"second"\n')
  })

  it('lets go of its source when the client goes', async () => {
    let ended = false
    async function* endless(): AsyncGenerator<number> {
      try {
        for (let value = 0; ; value++) yield value
      } finally {
        ended = true
      }
    }
    const stream = await linesStream(endless(), options)
    for await (const _line of stream) break
    await tick()
    assert.ok(ended)
  })
})
