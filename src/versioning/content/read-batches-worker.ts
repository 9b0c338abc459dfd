import { hash } from 'node:crypto'
import { readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { type BatchReply, type BatchRequest, SLOW_READ_MS } from './read-batches.ts'

function isSound(arena: SharedArrayBuffer, read: BatchRequest['reads'][number]): boolean {
  const bytes = Buffer.from(arena, read.at, read.length)
  try {
    for (let done = 0; done < read.length; ) {
      const more = readSync(read.fd, bytes, done, read.length - done, read.offset + done)
      if (more === 0) return false
      done += more
    }
  } catch {
    // The caller reads it again by itself, and then has the error to say what it is about.
    return false
  }
  return hash('sha256', bytes, 'buffer').equals(read.sha256)
}

parentPort?.on('message', ({ arena, reads }: BatchRequest) => {
  let slow = 0
  let from = performance.now()
  const sound = reads.map((read) => {
    const isRight = isSound(arena, read)
    const to = performance.now()
    if (to - from > SLOW_READ_MS) slow++
    from = to
    return isRight
  })
  parentPort?.postMessage({ sound, slow } satisfies BatchReply)
})
