import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StoreDenied } from '../cloud/index.ts'
import { Metrics, silentLog } from '../kernel/index.ts'
import { measureEgress } from './metrics.ts'
import { Harness } from './testing/harness.ts'

describe('the metrics of egress', () => {
  it('are bytes that arrived, and pushes by how they ended', async (t) => {
    const metrics = new Metrics(silentLog)
    let db: Parameters<typeof measureEgress>[1] | undefined
    const meter = measureEgress(metrics, { all: (...call) => db!.all(...call), get: (...call) => db!.get(...call) })
    const harness = await Harness.open({ meter })
    t.after(() => harness.close())
    db = harness.db
    await harness.push('1', { 'a.txt': 'hello', b: 'you' })
    assert.match(await metrics.render(), /^sluice_egress_pushes_total\{result="failed"\} 0$/m)
    harness.target.before = () => {
      throw new StoreDenied('no')
    }
    await harness.push('2', { 'a.txt': 'other' })
    const text = await metrics.render()
    assert.match(text, /^sluice_egress_sent_bytes_total 8$/m)
    assert.match(text, /^sluice_egress_pushes_total\{result="success"\} 1$/m)
    assert.match(text, /^sluice_egress_pushes_total\{result="failed"\} 1$/m)
    assert.match(text, /^sluice_egress_failures_total\{kind="denied"\} 1$/m)
    assert.match(text, /^sluice_egress_failures_total\{kind="other"\} 0$/m)
    assert.match(text, /^sluice_egress_bytes_left 0$/m)
    assert.match(text, /^sluice_egress_pushes_unended\{state="running"\} 0$/m)
  })
})
