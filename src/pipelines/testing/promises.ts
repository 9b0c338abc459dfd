import { it } from 'node:test'
import { Bench } from './harness.ts'

/** User code that copies each file of the datum to /pfs/out, in capitals. */
export const shout = 'for f in /pfs/in/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done'

/** The counts of a job. */
export const datums = (total: number, processed: number, skipped: number, failed = 0, recovered = 0) => ({
  total,
  processed,
  skipped,
  failed,
  recovered,
})

/** A test on a store of its own, which has the repo `in`. */
export function promises(what: string, check: (bench: Bench) => Promise<void>): void {
  it(what, async () => {
    const bench = await Bench.open()
    try {
      await bench.repo('in')
      await check(bench)
    } finally {
      await bench.close()
    }
  })
}
