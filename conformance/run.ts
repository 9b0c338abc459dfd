/**
 * `npm run conformance [-- NAME …] [-- --require NAME,…|all]`: drives a running gateway with real clients, over HTTP only. Each
 * folder is a client. A client that is not on this machine is left out and named; if it is required, that is a failure.
 */
import { globSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { root, runFiles, underOurNode } from '../test/runner.ts'

underOurNode()
process.chdir(root)
const { values, positionals: names } = parseArgs({ allowPositionals: true, options: { require: { type: 'string' } } })
// Its JVM takes two minutes for some fifty jobs: it comes first, so that it does not run alone at the end.
const isLong = (file: string) => file.startsWith('conformance/spark/')
const found = globSync('conformance/*/*.test.ts').sort()
const files = [...found.filter(isLong), ...found.filter((file) => !isLong(file))]
const clientOf = (file: string) => file.split('/')[1] ?? ''
const clients = [...new Set(files.map(clientOf))]
const required = values.require === 'all' ? clients : (values.require?.split(',') ?? [])
const unknown = [...names, ...required].filter((name) => !clients.includes(name))
if (unknown.length > 0) {
  console.error(`there is no suite ${unknown.join(', ')}; there are: ${clients.join(', ')}`)
  process.exitCode = 1
} else {
  const wanted = files.filter((file) => names.length === 0 || names.includes(clientOf(file)))
  process.exitCode = await runFiles({ files: wanted, required: (file) => required.includes(clientOf(file)) })
}
