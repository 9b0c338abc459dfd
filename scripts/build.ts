/** `npm run build`: the JavaScript of `src/` into `dist/`, for the package and the image. `node dist/main.js` runs it. */
import { spawnSync } from 'node:child_process'
import { globSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist')

// A module that was renamed must not live on in the image.
rmSync(dist, { recursive: true, force: true })
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const { status, error } = spawnSync(process.execPath, [tsc, '-p', join(root, 'scripts/tsconfig.build.json')], {
  stdio: 'inherit',
})
if (error) throw error
console.log(`build: ${globSync('**/*.js', { cwd: dist }).length} files in dist/`)
process.exitCode = status ?? 1
