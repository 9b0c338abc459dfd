/**
 * The jars of pom.xml: `node conformance/spark/jars.ts` has Maven put them into a folder in the user's cache and prints its path.
 * The suite uses what is there; it fetches nothing by itself.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const FETCH_TIMEOUT_MS = 8 * 60_000

const pom = join(import.meta.dirname, 'pom.xml')
const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice-conformance')
/** By what the pom says: another version is another folder. */
const folder = join(cache, `spark-${createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12)}`)

/** The folder with the jars, or why they are not there. */
export function sparkJars(): { readonly folder: string; readonly missing: string | undefined } {
  const missing = existsSync(folder) ? undefined : 'its jars are not there: `node conformance/spark/jars.ts` gets them'
  return { folder, missing }
}

/** Into a folder beside, which gets its name when it is complete. */
function fetchJars(): void {
  mkdirSync(cache, { recursive: true })
  const beside = mkdtempSync(join(cache, 'fetching-'))
  try {
    const args = ['-B', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${beside}`]
    const { error, status } = spawnSync('mvn', args, { stdio: 'inherit', timeout: FETCH_TIMEOUT_MS })
    if (error) throw new Error(`mvn can not be run (Debian: package maven): ${error.message}`, { cause: error })
    if (status !== 0) throw new Error(`mvn ended with ${status}`)
    renameSync(beside, folder)
  } finally {
    rmSync(beside, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  if (sparkJars().missing) fetchJars()
  console.log(folder)
}
