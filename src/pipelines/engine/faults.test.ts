import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StorageFull } from '../../kernel/index.ts'
import type { Derived, Versioning } from '../../versioning/index.ts'
import { Bench } from '../testing/harness.ts'

/** The real floor below, with one of its calls failing as long as `fault` has something to throw. */
function failing(method: 'storeOutput' | 'union' | 'listOpen', fault: () => Error | undefined) {
  return (versioning: Versioning): Versioning => {
    const derived = new Proxy<Derived>(versioning.derived, {
      get(target, name) {
        const real: unknown = Reflect.get(target, name)
        if (typeof real !== 'function') return real
        if (name !== method) return real.bind(target)
        return async (...args: unknown[]) => {
          const error = fault()
          if (error) throw error
          return Reflect.apply(real, target, args)
        }
      },
    })
    return new Proxy(versioning, {
      get(target, name) {
        if (name === 'derived') return derived
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
}

function times(count: number, make: () => Error): () => Error | undefined {
  let left = count
  return () => (left-- > 0 ? make() : undefined)
}

async function run(faults: (versioning: Versioning) => Versioning) {
  const bench = await Bench.open({ faults })
  try {
    await bench.repo('in')
    await bench.pipeline('p', 'cp /pfs/in/* /pfs/out/')
    await bench.put('in', { a: 'x', b: 'y' })
    const { branches } = await bench.flush('in')
    return { verdict: branches['p'], files: await bench.files('p'), job: await bench.lastJob('p') }
  } finally {
    await bench.close()
  }
}

describe('trouble below', { concurrency: 2 }, () => {
  it('waits for a full disk as long as it takes', async () => {
    const { verdict, files, job } = await run(
      failing(
        'storeOutput',
        times(8, () => new StorageFull()),
      ),
    )
    assert.equal(verdict?.verdict, 'finished')
    assert.deepEqual(files, { a: 'x', b: 'y' })
    assert.ok(job.restarts > 0)
  })

  it('tries again after an error that is nobody’s fault', async () => {
    const { verdict, job } = await run(
      failing(
        'union',
        times(2, () => new Error('a worker died')),
      ),
    )
    assert.equal(verdict?.verdict, 'finished')
    assert.equal(job.restarts, 2)
    assert.deepEqual(job.datums, { total: 2, processed: 2, skipped: 0, failed: 0, recovered: 0 })
  })

  it('fails a job that can not go on, with the reason, instead of trying for ever', async () => {
    const { verdict, files, job } = await run(
      failing(
        'union',
        times(1_000, () => new Error('broken for good')),
      ),
    )
    assert.equal(verdict?.verdict, 'failed')
    assert.match(verdict?.reason ?? '', /the job could not go on: broken for good/)
    assert.equal(job.state, 'failure')
    assert.deepEqual(files, {})
  })

  it('goes on looking for jobs when looking failed', async () => {
    const { verdict } = await run(
      failing(
        'listOpen',
        times(2, () => new Error('not now')),
      ),
    )
    assert.equal(verdict?.verdict, 'finished')
  })
})

for (const mode of ['unshare', 'plain'] as const) {
  describe(`without bubblewrap, by ${mode}`, () => {
    it('does the same work, and says that it is no sandbox', async (t) => {
      const opened = await Bench.open({ modes: [mode] }).catch((error: Error) => error)
      if (opened instanceof Error) return t.skip(opened.message)
      const bench = opened
      try {
        await bench.repo('in', 'other')
        const input = { cross: [{ pfs: { repo: 'in', glob: '/*' } }, { pfs: { repo: 'other', glob: '/' } }] }
        const script = 'cat "$in" "$other"/* > "$SLUICE_PFS/out/$(basename "$in")"'
        const { notes, pipeline } = await bench.pipeline('p', script, { input })
        assert.ok(notes.some((note) => /without a sandbox/.test(note)))
        assert.match(pipeline.runner, /no sandbox/)
        await bench.put('other', { o: 'other' })
        await bench.flush('other')
        await bench.put('in', { a: 'A', b: 'B' })
        assert.equal((await bench.flush('in')).ok, true)
        assert.deepEqual(await bench.files('p'), { a: 'Aother', b: 'Bother' })
      } finally {
        await bench.close()
      }
    })
  })
}
