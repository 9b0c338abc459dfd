#!/usr/bin/env node
// Starts the command line. Node 24 comes with the dependencies (the `node` package), so that an older Node on the machine is
// enough: this file must therefore run on old ones, and uses nothing newer than what Node 16 has.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NEEDED_NODE = 24
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']

const fileOf = (path) => fileURLToPath(new URL(path, import.meta.url))

// A package has dist/ only, a clone has src/ (and dist/ after a build, which may be older than src/).
const entry = [fileOf('../src/cli/main.ts'), fileOf('../dist/cli/main.js')].find((path) => existsSync(path))

function fail(message) {
  process.stderr.write(`sluice: ${message}\n`)
  process.exit(1)
}

function findNode() {
  // Beside this package's own dependencies, or (installed as a dependency) beside this package.
  const candidates = ['../node_modules/node/bin/node', '../../node/bin/node']
  return candidates.map(fileOf).find((path) => existsSync(path))
}

function runInNewerNode(node) {
  const child = spawn(node, [fileOf('./sluice.js'), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`could not start ${node}: ${error.message}`))
  child.on('exit', (code, signal) => {
    // 128 + number is what a shell reports for a process that a signal ended.
    process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal])
  })
}

if (entry === undefined) fail('neither src/cli/main.ts nor dist/cli/main.js is there: run npm ci, or npm run build')
else if (Number(process.versions.node.split('.')[0]) >= NEEDED_NODE) {
  // Halves the time to start. Within the installation, since whoever can write to a cache can run code in its readers.
  if (existsSync(fileOf('../node_modules'))) module.enableCompileCache(fileOf('../node_modules/.cache/sluice'))
  await import(pathToFileURL(entry).href)
} else {
  const node = findNode()
  if (node === undefined)
    fail(`Node ${NEEDED_NODE} is needed and this is ${process.version}: run npm ci, which brings it`)
  else runInNewerNode(node)
}
