import type { Target, TargetInfo, Versioning } from '../versioning/index.ts'

interface Asking {
  readonly running: Promise<TargetInfo>
  next: Promise<TargetInfo> | undefined
}

/** Finished commits whose description is kept: it never changes. */
const MAX_KEPT = 1000

/**
 * Descriptions of targets for response headers. Many requests for one bucket at once share a look-up, but never one that began before
 * they came: what was acknowledged before a request is in its answer.
 */
export class Descriptions {
  readonly #versioning: Pick<Versioning, 'describe'>
  readonly #asking = new Map<string, Asking>()
  readonly #kept = new Map<string, TargetInfo>()

  constructor(versioning: Pick<Versioning, 'describe'>) {
    this.#versioning = versioning
  }

  get(target: Target): Promise<TargetInfo> {
    const name = target.kind === 'branch' ? `${target.branch}.${target.repo}` : `${target.commit}.${target.repo}`
    const kept = this.#kept.get(name)
    if (kept) return Promise.resolve(kept)
    const asking = this.#asking.get(name)
    if (!asking) return this.#ask(name, target)
    // The one that runs may have read before this request came: wait for its end, then ask once for all who wait.
    asking.next ??= asking.running.then(
      () => this.#ask(name, target),
      () => this.#ask(name, target),
    )
    return asking.next
  }

  #ask(name: string, target: Target): Promise<TargetInfo> {
    const running = this.#versioning.describe(target)
    const asking: Asking = { running, next: undefined }
    this.#asking.set(name, asking)
    const done = () => {
      if (this.#asking.get(name) === asking && !asking.next) this.#asking.delete(name)
    }
    running.then((info) => {
      if (target.kind === 'commit' && info.commitState === 'finished') this.#keep(name, info)
      done()
    }, done)
    return running
  }

  #keep(name: string, info: TargetInfo): void {
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear()
    this.#kept.set(name, info)
  }
}
