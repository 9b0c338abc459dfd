import type { FsckEvent, FsckOptions } from '../fsck.ts'
import type { GcEvent, GcOptions, Maintenance, WhyResult } from '../maintenance.ts'
import type { StoreStats } from '../stats.ts'
import { runFsck } from './fsck.ts'
import { Collector, type GcPlace } from './gc.ts'
import { OneCheck } from './one-check.ts'
import { type PurgePlace, StorePurges } from './purge.ts'
import { readStats } from './stats.ts'
import { recordFsck } from './upkeep-record.ts'
import { why } from './why.ts'

/** The upkeep of an open store. */
export class StoreMaintenance implements Maintenance {
  readonly #place: GcPlace
  readonly #collector: Collector
  readonly #checks = new OneCheck()

  readonly purges: StorePurges

  constructor(place: PurgePlace) {
    this.#place = place
    this.#collector = new Collector(place)
    this.purges = new StorePurges(place, this.#collector)
  }

  gc(options?: GcOptions): AsyncIterable<GcEvent> {
    return this.#collector.run(options)
  }

  why(sha256: string, options: { readonly signal?: AbortSignal } = {}): Promise<WhyResult> {
    return why(this.#place, sha256, options.signal)
  }

  fsck(options?: FsckOptions): AsyncIterable<FsckEvent> {
    return this.#checks.run((signal) => this.#fsck({ ...options, signal }), options?.signal)
  }

  async *#fsck(options: FsckOptions): AsyncGenerator<FsckEvent> {
    const deep = options.deep === true
    for await (const event of runFsck(this.#place, options)) {
      if (event.kind === 'verdict' && event.verdict !== 'stopped') {
        const { verdict, faults, mended, elapsedMs } = event
        const said = { verdict, deep, faults, mended, elapsedMs }
        if (verdict === 'clean') this.#place.log.info(said, 'the store was checked: it is clean')
        else this.#place.log.error(said, `the store was checked: ${faults} damaged, see what sluice fsck says`)
        await recordFsck(this.#place, { deep, faults })
      }
      yield event
    }
  }

  stats(): Promise<StoreStats> {
    return readStats(this.#place)
  }

  /** Ends what runs, between two steps. */
  async close(): Promise<void> {
    await this.#checks.close()
    await this.purges.close()
    await this.#collector.close()
  }
}
