import type { EgressPort, EgressStatus } from '../index.ts'

/** Pushes to nowhere, when it is told to. */
export class ManualEgress implements EgressPort {
  readonly requests: Parameters<EgressPort['request']>[1][] = []
  readonly cancelled: string[] = []
  readonly #states = new Map<string, EgressStatus>()
  readonly #listeners = new Set<() => void>()

  check: EgressPort['check'] = async () => ({
    url: 's3://bucket/dir',
    secret: 'mine',
    notes: ['egress goes to s3://bucket/dir'],
  })
  request: EgressPort['request'] = async (_, input) => {
    this.requests.push(input)
    this.#set(input.job, 'running')
  }
  status: EgressPort['status'] = async (job) => this.#states.get(job)
  cancel: EgressPort['cancel'] = async (_, job) => {
    this.cancelled.push(job)
  }
  requeue: EgressPort['requeue'] = async (tx, job) => {
    // Nothing of it stays if the transaction comes to nothing.
    tx.afterCommit(() => this.#set(job, 'running'))
  }
  readonly released: string[] = []
  release: EgressPort['release'] = async (_, pipeline) => {
    this.released.push(pipeline)
  }
  onChange: EgressPort['onChange'] = (listener) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #set(job: string, state: EgressStatus['state'], reason?: string): void {
    const counts = {
      filesTotal: 1,
      filesDone: 0,
      filesSkipped: 0,
      filesDeleted: 0,
      bytesTotal: 1,
      bytesDone: 0,
      attempts: 1,
    }
    this.#states.set(job, {
      id: job,
      url: 's3://bucket/dir',
      state,
      ...counts,
      ...(reason !== undefined && { reason }),
    })
  }

  end(job: string, state: 'success' | 'failed', reason?: string): void {
    this.#set(job, state, reason)
    for (const listener of this.#listeners) listener()
  }
}
