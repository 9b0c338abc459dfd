/**
 * `npm run conformance [-- NAME …] [-- --strict]`: drives a running gateway with real clients, over HTTP only. Each folder is a
 * client. A client that is not on this machine is left out and named; with `--strict` that is a failure.
 */
import { globSync } from 'node:fs'
import { root, runFiles, underOurNode } from '../test/runner.ts'

underOurNode()
process.chdir(root)
const names = process.argv.slice(2).filter((argument) => argument !== '--strict')
const files = globSync('conformance/*/*.test.ts').sort()
const clients = [...new Set(files.map((file) => file.split('/')[1] ?? ''))]
const unknown = names.filter((name) => !clients.includes(name))
if (unknown.length > 0) {
  console.error(`there is no suite ${unknown.join(', ')}; there are: ${clients.join(', ')}`)
  process.exitCode = 1
} else {
  const wanted = files.filter(
    (file) => names.length === 0 || names.some((name) => file.startsWith(`conformance/${name}/`)),
  )
  process.exitCode = await runFiles({ files: wanted, strict: process.argv.includes('--strict') })
}
