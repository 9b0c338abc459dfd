import { type Database, InvalidInput } from '../../kernel/index.ts'
import type { WhyResult } from '../maintenance.ts'
import type { GcPlace } from './gc.ts'
import type { WhyReply } from './gc-protocol.ts'
import { GcThread } from './gc-thread.ts'

/** Looked for in a thread of its own: all trees are walked. */
export async function why(place: GcPlace, sha256: string, signal?: AbortSignal): Promise<WhyResult> {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new InvalidInput('a SHA-256 is 64 hex digits, in lower case')
  const { databaseFile, nodesFile, packsFolder, sources } = place
  const thread = new GcThread({ databaseFile, nodesFile, packsFolder, sources, without: [] }, place.onFatal)
  const stop = () => thread.stop()
  signal?.addEventListener('abort', stop)
  try {
    signal?.throwIfAborted()
    const reply = await thread.ask<WhyReply>({ kind: 'why', sha256 })
    const doomed = await doomedMs(place.db, sha256)
    return { sha256, ...reply, ...(doomed !== undefined && { doomedMs: doomed }) }
  } finally {
    signal?.removeEventListener('abort', stop)
    await thread.close()
  }
}

async function doomedMs(db: Database, sha256: string): Promise<number | undefined> {
  const row = await db.get<{ doomed_ms: number }>('SELECT doomed_ms FROM doomed_chunk WHERE sha256 = ?', [
    Buffer.from(sha256, 'hex'),
  ])
  return row?.doomed_ms
}
