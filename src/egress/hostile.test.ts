import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, it } from 'node:test'
import { Harness } from './testing/harness.ts'
import type { VerifyEvent } from './verify.ts'

const h = await Harness.open()
after(() => h.close())

/** It ends at last, so that a test that fails does as well. */
const MIBS = 300

it('a comparison reads no more of an object than it should have', async () => {
  await h.push('1'.repeat(32), { file: 'x' })
  let read = 0
  h.target.get = async () =>
    Readable.from(
      (function* () {
        for (; read < MIBS; read++) yield Buffer.alloc(1024 * 1024)
      })(),
      { objectMode: false },
    )
  const said: VerifyEvent[] = []
  const signal = new AbortController().signal
  for await (const event of h.egress.verify('1'.repeat(32), { deep: true, signal })) said.push(event)
  assert.deepEqual(
    said.map((event) => (event.kind === 'drift' ? event.drift : event.kind)),
    ['changed', 'verified'],
  )
  assert.ok(read < 10, `${read} MiB were read`)
})
