import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type GcResult, parseRepoName } from '../../versioning/index.ts'
import { Bench } from '../testing/harness.ts'

/** Outputs that are chunks of their own. */
const grow = 'for f in /pfs/in/*; do for i in $(seq 200); do echo "$(cat $f) $i"; done > /pfs/out/$(basename $f); done'
const grown = (text: string) => Array.from({ length: 200 }, (_, i) => `${text} ${i + 1}\n`).join('')

async function collect({ versioning }: Bench): Promise<GcResult> {
  for await (const event of versioning.maintenance.gc({ graceMs: 0 })) if (event.kind === 'done') return event
  throw new Error('it did not end')
}

describe('jobs and garbage collection', () => {
  let bench: Bench

  beforeEach(async () => {
    bench = await Bench.open()
    await bench.repo('in')
  })

  afterEach(() => bench.close())

  it('stay incremental: results whose files are in a commit are kept', async () => {
    await bench.pipeline('grown', grow)
    await bench.put('in', { a: 'one', b: 'two' })
    await bench.flush('in')
    assert.equal((await collect(bench)).results, 0)
    await bench.put('in', { c: 'three' })
    assert.equal((await bench.flush('in')).ok, true)
    const job = await bench.lastJob('grown')
    assert.deepEqual([job.datums.processed, job.datums.skipped], [1, 2])
    assert.deepEqual(await bench.files('grown'), { a: grown('one'), b: grown('two'), c: grown('three') })
  })

  it('run again what went with the commits that held it', async () => {
    const { versioning } = bench
    await bench.pipeline('grown', grow)
    await bench.put('in', { a: 'old' })
    await bench.flush('in')
    const before = await bench.lastJob('grown')
    await bench.put('in', { a: 'new' })
    await bench.flush('in')
    for (const repo of ['in', 'grown']) await versioning.retention.set(parseRepoName(repo), { keepCommits: 1 })
    // The newest output commit names its input and its parent: the old ones are kept until they are not the newest before any more.
    await bench.put('in', { b: 'more' })
    await bench.flush('in')
    const gone = await collect(bench)
    assert.ok(gone.commits > 0 && gone.results > 0, JSON.stringify(gone))
    await assert.rejects(versioning.getCommit(parseRepoName('grown'), before.outputCommit))
    await bench.put('in', { a: 'old' })
    assert.equal((await bench.flush('in')).ok, true)
    assert.equal((await bench.lastJob('grown')).datums.processed, 1)
    assert.deepEqual(await bench.files('grown'), { a: grown('old'), b: grown('more') })
  })

  it('keep what they have made so far, while garbage is collected all along', async () => {
    await bench.pipeline('grown', `sleep 0.2; ${grow}`)
    await bench.put('in', { a: 'one', b: 'two', c: 'three', d: 'four' })
    let running = true
    const collecting = (async () => {
      while (running) await collect(bench)
    })()
    assert.equal((await bench.flush('in')).ok, true)
    running = false
    await collecting
    await collect(bench)
    assert.deepEqual(await bench.files('grown'), {
      a: grown('one'),
      b: grown('two'),
      c: grown('three'),
      d: grown('four'),
    })
  })
})
