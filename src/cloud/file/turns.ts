/** Files that are being changed, each with the end of its queue. Of the whole process: two stores may be open on one folder. */
const queues = new Map<string, Promise<unknown>>()

/** Runs what changes one file after all that was asked for before. As many wait as there are calls: their callers bound them. */
export async function inTurn<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  // How the one before ended is told to who asked for it.
  const turn = (queues.get(path) ?? Promise.resolve()).then(work, work)
  queues.set(path, turn)
  try {
    return await turn
  } finally {
    if (queues.get(path) === turn) queues.delete(path)
  }
}
