import { constants, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { DomainError, errorMessage, openSqlite, SCRUB_PATIENCE_MS, silentLog, unreachable } from '../../kernel/index.ts'
import type { TreeHash } from '../model/index.ts'
import { apply, comparedWith, countItem, decodeLeaf, openNodeStore, sameFile, type TreeChange } from '../tree/index.ts'
import { ExternalSort } from './runs.ts'
import type { BuiltTree, ImportReply, ImportRequest, ImportWorkerData } from './work.ts'

/** How often it says how far it is. */
const ENTRIES_PER_NOTE = 20_000

const { nodesFile, salt, folder } = workerData as ImportWorkerData
const port = parentPort!
const say = (reply: ImportReply) => port.postMessage(reply)
// An import may take longer, requests may not. Linux alone takes this for the thread, and not for the whole process.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL)
const sort = new ExternalSort(folder)
const nodesDb = await openSqlite({
  file: nodesFile,
  log: silentLog,
  patienceMs: SCRUB_PATIENCE_MS,
  onFatal: (error) => say({ kind: 'failed', code: 'Fatal', message: errorMessage(error) }),
})
const store = openNodeStore(nodesDb)

let tail: Promise<void> = Promise.resolve()
let closing = false
port.on('message', (request: ImportRequest) => {
  closing ||= request.kind === 'close'
  tail = tail.then(() => answer(request))
})

async function answer(request: ImportRequest): Promise<void> {
  try {
    await run(request)
  } catch (error) {
    const code = error instanceof DomainError ? error.code : 'Error'
    say({ kind: 'failed', code, message: errorMessage(error) })
  }
}

async function run(request: ImportRequest): Promise<void> {
  switch (request.kind) {
    case 'add': {
      const records = Buffer.from(request.records.buffer, request.records.byteOffset, request.records.byteLength)
      if (!closing) await sort.add(records)
      return say({ kind: 'taken', bytes: records.length })
    }
    case 'build':
      return say({ kind: 'built', built: await buildOn(request.base) })
    case 'close':
      await sort.close()
      await nodesDb.close()
      return port.close()
    default:
      return unreachable(request)
  }
}

async function buildOn(base: TreeHash): Promise<BuiltTree> {
  const counts = { files: 0, bytes: 0, added: 0, changed: 0, unchanged: 0 }
  const changed = comparedWith(store, base, entries(), ({ key, item }, old) => {
    if (old && item && sameFile(decodeLeaf(key, old.value), decodeLeaf(key, item.value))) {
      counts.unchanged++
      return false
    }
    if (old) counts.changed++
    else counts.added++
    countItem(counts, old, -1)
    countItem(counts, item ?? undefined, 1)
    return true
  })
  const root = await apply(store, { salt: Buffer.from(salt) }, base, changed)
  return { root, ...counts }
}

/** The sorted entries as changes, in the groups that they come in. */
async function* entries(): AsyncGenerator<readonly TreeChange[]> {
  let placed = 0
  let noted = 0
  for await (const group of sort.sorted()) {
    if (closing) throw new Error('the import was given up')
    yield group.map(({ item }) => ({ key: item.key, item }))
    placed += group.length
    if (placed - noted < ENTRIES_PER_NOTE) continue
    noted = placed
    say({ kind: 'progress', entries: placed })
    // Messages are only taken between turns: one may say that nobody wants this any more.
    await new Promise((resolve) => setImmediate(resolve))
  }
}
