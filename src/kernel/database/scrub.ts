import { setTimeout as delay } from 'node:timers/promises'
import { SCRUB_PATIENCE_MS } from '../limits.ts'
import { Connection } from './connection.ts'

/** Somebody who reads one state of the database for long keeps its log from being emptied: asked again this often. */
const RETRY_MS = 500
const MAX_TRIES = 240

interface ScrubParts {
  readonly file: string
  readonly onFatal: ((error: Error) => void) | undefined
  /** Runs work while this process' writer rests. */
  readonly alone: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Writes the log back by what it is given, and all that belongs to it. */
  readonly checkpoint: (writeBack: () => Promise<void>) => Promise<void>
}

/**
 * Writes a database anew from its rows, and empties its log: what was removed leaves its bytes in free pages, in gaps of others, and in
 * the log. Takes as much room again meanwhile. False if somebody read it all the time: then the log still has them.
 */
export async function scrubDatabase({ file, onFatal, alone, checkpoint }: ScrubParts): Promise<boolean> {
  // Of its own: what it is written to in between goes to a file, and not to memory.
  const connection = await Connection.open({ file, onFatal })
  try {
    await connection.exec(
      `PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA busy_timeout=${SCRUB_PATIENCE_MS}`,
    )
    await alone(() => connection.exec('VACUUM'))
    await connection.exec('PRAGMA busy_timeout=200')
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if (tries > 0) await delay(RETRY_MS)
      let busy = true
      await alone(() =>
        checkpoint(async () => {
          const [row] = await connection.all<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)')
          busy = row?.busy !== 0
        }),
      )
      if (!busy) return true
    }
    return false
  } finally {
    await connection.close()
  }
}
