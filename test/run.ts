/** `npm test`: every test of the repository, or only the files whose path contains one of the arguments. */
import { globSync } from 'node:fs'
import { root, runFiles, underOurNode } from './runner.ts'

underOurNode()
const wanted = process.argv.slice(2)
// Those that take longest come first, so that none of them runs alone at the end: of the continuous run that is the fuzzing.
const folders = process.env['FAULTS'] === 'full' ? ['src', 'test', 'examples'] : ['test', 'examples', 'src']
const files = folders
  .flatMap((folder) => globSync(`${folder}/**/*.test.ts`, { cwd: root }).sort())
  .filter((file) => !file.includes('node_modules'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
process.chdir(root)
process.exitCode = await runFiles({ files })
