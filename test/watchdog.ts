/**
 * Loaded before every test file. A file whose tests are done but which still holds a socket, a child or a timer would keep the
 * whole run waiting; this timer does not keep the process alive, so it fires only then, and says what was left open.
 */
import { after } from 'node:test'

/** Closing a store and a server takes well below a second; a loaded machine may need some. */
const GRACE_MS = 20_000

after(() => {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(', ')
    console.error(`${process.argv[1]}: its tests are done and it does not end by itself; still open: ${open}`)
    process.exit(1)
  }, GRACE_MS).unref()
})
