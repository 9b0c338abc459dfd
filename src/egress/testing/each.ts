import { afterEach } from 'node:test'
import { Harness } from './harness.ts'

/** For the tests of a file, opens harnesses that are closed after the test. */
export function eachHarness(): typeof Harness.open {
  const opened: Harness[] = []
  afterEach(async () => {
    for (const harness of opened.splice(0)) await harness.close()
  })
  return async (options) => {
    const harness = await Harness.open(options)
    opened.push(harness)
    return harness
  }
}
