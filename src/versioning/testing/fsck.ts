import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Fault, FsckEvent, FsckOptions } from '../fsck.ts'
import { type FsckPlace, type ReferenceSource, runFsck } from '../maintenance/index.ts'
import type { TestStore } from './store.ts'

type Checked = Pick<TestStore, 'db' | 'folder'>

function placeOf({ db, folder }: Checked, sources: readonly ReferenceSource[]): FsckPlace {
  const [databaseFile, nodesFile] = [join(folder, 'meta.sqlite'), join(folder, 'nodes.sqlite')]
  return { db, databaseFile, nodesFile, packsFolder: join(folder, 'packs'), sources }
}

/** Checks a store at full speed; all that was told. */
export async function fsckEvents(
  { db, folder }: Checked,
  options: FsckOptions = {},
  sources: readonly ReferenceSource[] = [],
): Promise<readonly FsckEvent[]> {
  const events: FsckEvent[] = []
  for await (const event of runFsck(placeOf({ db, folder }, sources), { share: 1, ...options })) events.push(event)
  return events
}

/** What is damaged in a store. */
export async function faultsOf(store: Checked, options: FsckOptions = {}): Promise<readonly Fault[]> {
  const events = await fsckEvents(store, options)
  return events.flatMap((event) => (event.kind === 'fault' && event.fault.severity === 'damage' ? [event.fault] : []))
}

/** Nothing in the store is damaged, by a check of its graph or with `deep` of all its bytes. The store may be in use. */
export async function assertSound(
  store: Checked,
  options: FsckOptions = {},
  sources: readonly ReferenceSource[] = [],
): Promise<void> {
  const events = await fsckEvents(store, options, sources)
  const faults = events.flatMap((event) =>
    event.kind === 'fault' && event.fault.severity === 'damage' ? [event.fault] : [],
  )
  assert.deepEqual(
    faults.map(({ message }) => message),
    [],
  )
  const last = events.at(-1)
  assert.equal(last?.kind === 'verdict' ? last.verdict : last?.kind, 'clean')
}
