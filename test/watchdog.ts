/**
 * Loaded before every test file. A file whose tests are done but which still holds a socket, a child or a timer would keep the
 * whole run waiting; this timer does not keep the process alive, so it fires only then, and says what was left open.
 */
const FILE_TIMEOUT_MS = 15 * 60_000

setTimeout(() => {
  console.error(`this test file did not end by itself; still open: ${process.getActiveResourcesInfo().join(', ')}`)
  process.exit(1)
}, FILE_TIMEOUT_MS).unref()
