import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openSqlite, silentLog } from '../../../kernel/index.ts'
import type { TestStore } from '../store.ts'
import type { Underneath } from './engine.ts'

/** A store that can be killed: it goes on as what its files held at that moment, whatever was done in closing it. */
export function killable(store: TestStore): Underneath {
  return {
    get versioning() {
      return store.versioning
    },
    reopen: () => store.reopen(),
    crash: async () => {
      const copy = `${store.folder}.crash`
      const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
      try {
        // Nobody else writes either database while it is copied; what refers is copied before what it refers to.
        await store.db.write(() => nodes.write(() => copyFolder(store.folder, copy)))
      } finally {
        await nodes.close()
      }
      await store.reopen({
        between: async () => {
          await rm(store.folder, { recursive: true })
          await rename(copy, store.folder)
        },
      })
    },
  }
}

/** Without the shared memory of SQLite, which a process that starts makes anew. */
async function copyFolder(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, filter: (path) => !path.endsWith('-shm') })
}
