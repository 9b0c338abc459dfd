import { writeSync } from 'node:fs'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

/** The steps between which a store must be whole, by name: what can be made to fail there, and what can't but be cut short. */
export const FAULT_POINTS = {
  'pack.create': ['kill', 'EIO', 'ENOSPC'],
  'pack.folder': ['kill', 'EIO'],
  'pack.write': ['kill', 'EIO', 'ENOSPC', 'short', 'torn'],
  'pack.written': ['kill'],
  'pack.sync': ['kill', 'EIO', 'ENOSPC'],
  'pack.synced': ['kill'],
  'pack.remove': ['kill', 'EIO'],
  'pack.removed': ['kill'],
  'sql.commit': ['kill', 'EIO', 'ENOSPC'],
  'sql.committed': ['kill'],
  'nodes.write': ['kill'],
  'nodes.written': ['kill'],
  'fold.slice': ['kill'],
  'commit.finish': ['kill'],
  'head.move': ['kill'],
  'merge.slice': ['kill'],
  'import.tree': ['kill'],
  'tree.land': ['kill'],
  'branch.restore': ['kill'],
  'branch.move': ['kill'],
  'transaction.move': ['kill'],
  'gc.commits': ['kill'],
  'gc.changes': ['kill'],
  'gc.nodes': ['kill'],
  'gc.doom': ['kill'],
  'gc.remove': ['kill'],
  'gc.repack': ['kill'],
  'purge.begin': ['kill'],
  'purge.rows': ['kill'],
  'purge.tree': ['kill'],
  'purge.collect': ['kill'],
  'purge.scrub': ['kill'],
  'purge.end': ['kill'],
  'backup.piece': ['kill', 'EIO', 'ENOSPC'],
  'backup.manifest': ['kill', 'EIO', 'ENOSPC'],
} as const

export type FaultPoint = keyof typeof FAULT_POINTS

/**
 * `kill`: the process is gone, as by kill -9. `EIO`, `ENOSPC`: the step fails so, before it did anything. `short`: a write takes only a
 * part, and says so; `torn`: it takes a part, and the process is gone.
 */
export type FaultKind = 'kill' | 'EIO' | 'ENOSPC' | 'short' | 'torn'

/** What is to go wrong: at the so-manieth passage of a point, counted from 1 in each thread. */
export interface FaultPlan {
  readonly point: FaultPoint
  readonly passage: number
  readonly kind: FaultKind
}

/** Written to standard error before it goes wrong, so that a test knows that the point was passed. */
export const FAULT_MARK = 'fault point passed: '

const KEY = 'sluice.fault'
/** Threads that are started later follow the plan too. */
let plan = readPlan(getEnvironmentData(KEY))
let passages = 0

/** For tests alone: no setting leads here. */
export function armFaults(next: FaultPlan): void {
  plan = next
  passages = 0
  setEnvironmentData(KEY, next as unknown as Parameters<typeof setEnvironmentData>[1])
}

/** A step that tests cut short or make fail; nothing else ever happens here. Throws what the system would throw. */
export function faultPoint(point: FaultPoint): void {
  if (plan !== undefined && plan.point === point) strike(plan)
}

/** How much of a write of so many bytes the system takes. Throws what it would throw. */
export function faultyLength(point: FaultPoint, bytes: number): { readonly bytes: number; readonly thenDie: boolean } {
  if (plan === undefined || plan.point !== point) return { bytes, thenDie: false }
  if (plan.kind !== 'short' && plan.kind !== 'torn') strike(plan)
  else if (isDue(plan)) return { bytes: Math.ceil(bytes / 2), thenDie: plan.kind === 'torn' }
  return { bytes, thenDie: false }
}

/** As kill -9 does: nothing is flushed, closed or said. */
export function die(): never {
  process.kill(process.pid, 'SIGKILL')
  for (;;) {
    // The signal ends the process between two instructions; in a worker thread that may be a moment later.
  }
}

function strike(planned: FaultPlan): void {
  if (!isDue(planned)) return
  if (planned.kind === 'kill') die()
  const error: NodeJS.ErrnoException = new Error(`${planned.kind}: the fault point ${planned.point}`)
  error.code = planned.kind
  throw error
}

function isDue({ point, passage, kind }: FaultPlan): boolean {
  if (++passages !== passage) return false
  writeSync(2, `${FAULT_MARK}${point} ${passage} ${kind}\n`)
  return true
}

function readPlan(value: unknown): FaultPlan | undefined {
  return value !== null && typeof value === 'object' && 'point' in value ? (value as FaultPlan) : undefined
}
