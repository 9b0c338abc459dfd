/**
 * The layer rule of the house (`npm run check:layers`): which folder may import which, that a folder is entered through its
 * `index.ts`, that there are no circles, that each package has one owner, and that only the configuration reads the environment.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Import, readImports, withoutComments } from './imports.ts'

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
}

export interface Violation {
  readonly file: string
  readonly line: number
  readonly rule: 'floor' | 'door' | 'cycle' | 'owner' | 'environment' | 'missing'
  readonly message: string
}

/** The composition root: it puts the floors together, may import all of them, and none imports it. */
const compositionRoot = ['main.ts', 'server.ts', 'offline-backup.ts', 'offline-fsck.ts']

/** What each floor may import, besides itself. */
const floors: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  cloud: ['kernel'],
  versioning: ['kernel', 'cloud'],
  egress: ['kernel', 'cloud', 'versioning'],
  pipelines: ['kernel', 'cloud', 'versioning'],
  gateway: ['kernel', 'cloud', 'versioning', 'egress', 'pipelines'],
  api: ['kernel', 'cloud', 'versioning', 'egress', 'pipelines'],
  cli: ['kernel'],
  console: ['kernel'],
}

/** The one file of the API that clients see, and only as types. */
const contract = 'src/api/contract.ts'
const contractReaders = ['cli', 'console']

/** Folders inside a floor that have a door of their own. */
const rooms = ['model', 'content', 'tree', 'history', 'imports'].map((room) => `src/versioning/${room}`)

/** Who may import a package, by its name or by a scope (`@aws-sdk/`). A package of `src/` that is not here has no owner yet. */
const owners: readonly { readonly package: string; readonly owners: readonly string[]; readonly types?: 'anywhere' }[] =
  [
    { package: 'koa', owners: ['gateway', 'api'] },
    { package: '@koa/router', owners: ['gateway', 'api'] },
    { package: 'fast-xml-parser', owners: ['gateway'] },
    { package: 'sqlite3', owners: ['kernel'] },
    { package: 'pg', owners: ['kernel'] },
    { package: 'node:sqlite', owners: ['kernel'] },
    { package: 'kysely', owners: ['kernel'], types: 'anywhere' },
    { package: 'pino', owners: ['kernel'] },
    { package: '@node-rs/crc32', owners: ['kernel'] },
    { package: 'hash-wasm', owners: ['kernel'] },
    { package: '@aws-sdk/', owners: ['cloud'] },
    { package: '@smithy/', owners: ['cloud'] },
    { package: '@google-cloud/', owners: ['cloud'] },
    { package: '@azure/', owners: ['cloud'] },
    { package: 'ipaddr.js', owners: ['cloud'] },
    { package: 'commander', owners: ['cli'] },
  ]

const environmentReaders = ['src/kernel/config.ts', 'src/kernel/cli-config.ts']

/** Tests, and what only they use (`test/`, `testing/`, `fixtures.ts`), may reach into what they test and use any package; they still may not stand in a circle. */
const isTest = (path: string) => /^test\/|\.test\.ts$|\/testing\/|\/fixtures\.ts$/.test(path)

/** Benchmarks may use what was made for tests (`testing/`), which reaches in for them. */
const measuresBy = (path: string, target: string) => path.startsWith('bench/') && target.includes('/testing/')

/** The floor that a file of `src/` stands on: its top folder, or the file's own name (`main.ts`). */
const floorOf = (path: string) => (path.startsWith('src/') ? path.split('/')[1] : undefined)

/** Finds every breach in these files. Pure: the files are handed in, so that a test can show that each rule fires. */
export function checkLayers(files: readonly SourceFile[]): readonly Violation[] {
  const known = new Set(files.map((file) => file.path))
  const edges = new Map<string, Edge[]>()
  const violations: Violation[] = []
  for (const file of files) {
    const code = withoutComments(file.text)
    const imports = readImports(file.text)
    const local: Edge[] = []
    for (const entry of imports) {
      if (entry.specifier.startsWith('.')) {
        const target = normalize(join(dirname(file.path), entry.specifier)).replaceAll('\\', '/')
        local.push({ ...entry, target })
      } else if (!isTest(file.path)) violations.push(...checkOwner(file.path, entry))
    }
    edges.set(file.path, local)
    for (const edge of local) {
      if (!known.has(edge.target) && edge.target.endsWith('.ts')) {
        violations.push({ ...at(file.path, edge), rule: 'missing', message: `${edge.target} does not exist` })
      } else if (!isTest(file.path) && !measuresBy(file.path, edge.target)) {
        violations.push(...checkFloor(file.path, edge), ...checkDoor(file.path, edge))
      }
    }
    if (floorOf(file.path) && !isTest(file.path)) violations.push(...checkEnvironment(file.path, code))
  }
  return [...violations, ...findCycles(edges)].sort((a, b) =>
    a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line,
  )
}

interface Edge extends Import {
  readonly target: string
}

const at = (file: string, entry: Import) => ({ file, line: entry.line })

function checkFloor(file: string, edge: Edge): Violation[] {
  const from = floorOf(file)
  const to = floorOf(edge.target)
  if (from === undefined || to === undefined || from === to || compositionRoot.includes(from)) return []
  if (contractReaders.includes(from) && edge.target === contract) {
    if (edge.typeOnly) return []
    return [
      {
        ...at(file, edge),
        rule: 'floor',
        message: `${from} may import only types of ${contract}: use \`import type\``,
      },
    ]
  }
  const allowed = floors[from]
  if (!allowed)
    return [{ ...at(file, edge), rule: 'floor', message: `${from} is not a floor of the house (scripts/layers.ts)` }]
  if (allowed.includes(to)) return []
  const may = allowed.length > 0 ? allowed.join(', ') : 'no other floor'
  return [{ ...at(file, edge), rule: 'floor', message: `${from} must not import ${to} (it may import ${may})` }]
}

function checkDoor(file: string, edge: Edge): Violation[] {
  const floor = floorOf(edge.target)
  const folders = [...(floor && !floor.endsWith('.ts') ? [`src/${floor}`] : []), ...rooms]
  for (const folder of folders) {
    const inside = (path: string) => path.startsWith(`${folder}/`)
    if (!inside(edge.target) || inside(file) || edge.target === `${folder}/index.ts`) continue
    if (edge.target === contract && edge.typeOnly) continue
    return [
      { ...at(file, edge), rule: 'door', message: `${folder} is entered through its index.ts, not ${edge.target}` },
    ]
  }
  return []
}

function checkOwner(file: string, entry: Import): Violation[] {
  const floor = floorOf(file)
  if (floor === undefined) return []
  const rule = owners.find(({ package: name }) =>
    name.endsWith('/')
      ? entry.specifier.startsWith(name)
      : entry.specifier === name || entry.specifier.startsWith(`${name}/`),
  )
  if (!rule) {
    if (entry.specifier.startsWith('node:')) return []
    return [
      {
        ...at(file, entry),
        rule: 'owner',
        message: `${entry.specifier} has no owner yet: give it one in scripts/layers.ts`,
      },
    ]
  }
  if (rule.owners.includes(floor) || (rule.types === 'anywhere' && entry.typeOnly)) return []
  const exception = rule.types ? ' (types may be imported anywhere)' : ''
  return [
    {
      ...at(file, entry),
      rule: 'owner',
      message: `${entry.specifier} belongs to ${rule.owners.join(', ')}${exception}`,
    },
  ]
}

function checkEnvironment(file: string, code: string): Violation[] {
  if (environmentReaders.includes(file)) return []
  const found =
    /\bprocess\s*\.\s*env\b|\bprocess\s*\[\s*['"]env['"]|\benv\b[^}\n]*\}\s*from\s*['"](?:node:)?process['"]/.exec(code)
  if (!found) return []
  const line = code.slice(0, found.index).split('\n').length
  return [{ file, line, rule: 'environment', message: `only ${environmentReaders.join(' and ')} read the environment` }]
}

/**
 * One violation for each circle (Tarjan's strongly connected components; types count too, a circle of types is still a knot).
 * Recursive: import chains are far shallower than the stack.
 */
function findCycles(edges: ReadonlyMap<string, readonly Edge[]>): Violation[] {
  const order = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const violations: Violation[] = []
  const visit = (file: string) => {
    const index = order.size
    order.set(file, index)
    low.set(file, index)
    stack.push(file)
    for (const { target } of edges.get(file) ?? []) {
      if (!edges.has(target)) continue
      if (!order.has(target)) visit(target)
      if (stack.includes(target)) low.set(file, Math.min(low.get(file) ?? index, low.get(target) ?? index))
    }
    if (low.get(file) !== index) return
    const knot = stack.splice(stack.indexOf(file)).sort()
    const own = (edges.get(file) ?? []).find((edge) => edge.target === file)
    if (knot.length < 2 && !own) return
    const first = knot[0] ?? file
    const line = (edges.get(first) ?? []).find((edge) => knot.includes(edge.target))?.line ?? 1
    violations.push({ file: first, line, rule: 'cycle', message: `import each other in a circle: ${knot.join(', ')}` })
  }
  for (const file of edges.keys()) if (!order.has(file)) visit(file)
  return violations
}

/** Every TypeScript file of the repository that the rule covers. */
export function readSources(root: string): readonly SourceFile[] {
  const folders = ['src', 'test', 'bench', 'conformance', 'examples', 'scripts']
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
    .filter((path) => !path.includes('node_modules'))
    .sort()
    .map((path) => ({ path: path.replaceAll('\\', '/'), text: readFileSync(join(root, path), 'utf8') }))
}

if (import.meta.main) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)))
  const sources = readSources(root)
  const violations = checkLayers(sources)
  for (const { file, line, rule, message } of violations) {
    console.error(`${relative(process.cwd(), join(root, file))}:${line} ${rule}: ${message}`)
  }
  console.log(`layers: ${sources.length} files, ${violations.length} breach(es) of the layer rule`)
  process.exitCode = violations.length > 0 ? 1 : 0
}
