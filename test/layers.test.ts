import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readImports } from '../scripts/imports.ts'
import { checkLayers, readSources, type Violation } from '../scripts/layers.ts'

/** A small house without a breach; each test adds the one file that it is about. */
const house = {
  'src/main.ts': "import { start } from './gateway/index.ts'\nstart(process.argv)",
  'src/kernel/index.ts': "export { now } from './clock.ts'",
  'src/kernel/clock.ts': 'export const now = () => 1',
  'src/kernel/config.ts': 'export const port = process.env.PORT',
  'src/versioning/index.ts': "export type { Commit } from './model/index.ts'",
  'src/versioning/model/index.ts': "export type { Commit } from './types.ts'",
  'src/versioning/model/types.ts': 'export type Commit = string',
  'src/gateway/index.ts':
    "import Koa from 'koa'\nimport { now } from '../kernel/index.ts'\nexport const start = () => new Koa(now())",
  'src/api/contract.ts': 'export type Answer = string\nexport const page = 10',
  'src/api/index.ts': "export * from './contract.ts'",
}

function check(added: Record<string, string>): readonly Violation[] {
  const files = Object.entries({ ...house, ...added }).map(([path, text]) => ({ path, text }))
  return checkLayers(files)
}

function rules(added: Record<string, string>): string[] {
  return check(added).map(({ file, line, rule }) => `${file}:${line} ${rule}`)
}

describe('the layer rule', () => {
  it('finds nothing in a house that keeps it', () => {
    assert.deepEqual(check({}), [])
  })

  it('refuses an import from a lower floor to a higher one, values and types', () => {
    assert.deepEqual(rules({ 'src/kernel/a.ts': "\nimport { start } from '../gateway/index.ts'" }), [
      'src/kernel/a.ts:2 floor',
    ])
    assert.deepEqual(rules({ 'src/kernel/a.ts': "import type { Commit } from '../versioning/index.ts'" }), [
      'src/kernel/a.ts:1 floor',
    ])
  })

  it('refuses imports between floors that stand side by side', () => {
    assert.deepEqual(
      rules({
        'src/egress/index.ts': "export * from '../pipelines/index.ts'",
        'src/pipelines/index.ts': 'export const a = 1',
      }),
      ['src/egress/index.ts:1 floor'],
    )
    assert.deepEqual(rules({ 'src/gateway/a.ts': "import { page } from '../api/index.ts'" }), [
      'src/gateway/a.ts:1 floor',
    ])
  })

  it('refuses main as a thing to import, and a folder that is no floor', () => {
    assert.deepEqual(rules({ 'src/gateway/a.ts': "import '../main.ts'" }), ['src/gateway/a.ts:1 floor'])
    assert.deepEqual(rules({ 'src/attic/a.ts': "import { now } from '../kernel/index.ts'" }), [
      'src/attic/a.ts:1 floor',
    ])
  })

  it('lets the CLI see the types of the API contract and nothing else of the API', () => {
    assert.deepEqual(rules({ 'src/cli/a.ts': "import type { Answer } from '../api/contract.ts'" }), [])
    assert.deepEqual(rules({ 'src/cli/a.ts': "import { type Answer } from '../api/contract.ts'" }), [])
    assert.deepEqual(rules({ 'src/cli/a.ts': "import { page } from '../api/contract.ts'" }), [
      'src/cli/a.ts:1 floor',
      'src/cli/a.ts:1 door',
    ])
    assert.deepEqual(rules({ 'src/cli/a.ts': "import type { Answer } from '../api/index.ts'" }), [
      'src/cli/a.ts:1 floor',
    ])
    assert.deepEqual(rules({ 'src/cli/a.ts': "import type { Commit } from '../versioning/index.ts'" }), [
      'src/cli/a.ts:1 floor',
    ])
  })

  it('refuses entering a folder by another file than its index', () => {
    assert.deepEqual(rules({ 'src/gateway/a.ts': "import { now } from '../kernel/clock.ts'" }), [
      'src/gateway/a.ts:1 door',
    ])
    assert.deepEqual(rules({ 'src/gateway/a.ts': "const a = await import('../kernel/clock.ts')" }), [
      'src/gateway/a.ts:1 door',
    ])
    assert.deepEqual(rules({ 'src/versioning/a.ts': "import type { Commit } from './model/types.ts'" }), [
      'src/versioning/a.ts:1 door',
    ])
    assert.deepEqual(rules({ 'src/gateway/a.ts': "import type { Commit } from '../versioning/model/index.ts'" }), [
      'src/gateway/a.ts:1 door',
    ])
    assert.deepEqual(rules({ 'bench/a.ts': "import { now } from '../src/kernel/clock.ts'" }), ['bench/a.ts:1 door'])
    const prepared = { 'bench/a.ts': "import { b } from '../src/kernel/testing/b.ts'", 'src/kernel/testing/b.ts': '' }
    assert.deepEqual(rules(prepared), [])
  })

  it('refuses circles, of two files, of types only, and of a file with itself', () => {
    const two = { 'src/kernel/a.ts': "import './b.ts'", 'src/kernel/b.ts': "import './a.ts'" }
    assert.deepEqual(rules(two), ['src/kernel/a.ts:1 cycle'])
    const types = {
      'src/kernel/a.ts': "import type { B } from './b.ts'",
      'src/kernel/b.ts': "\nexport type { A } from './a.ts'",
    }
    assert.deepEqual(rules(types), ['src/kernel/a.ts:1 cycle'])
    assert.deepEqual(rules({ 'src/kernel/a.ts': "import './a.ts'" }), ['src/kernel/a.ts:1 cycle'])
    const tests = { 'src/kernel/a.test.ts': "import './b.test.ts'", 'src/kernel/b.test.ts': "import './a.test.ts'" }
    assert.deepEqual(rules(tests), ['src/kernel/a.test.ts:1 cycle'])
  })

  it('gives each package one owner', () => {
    for (const [path, name] of [
      ['src/versioning/a.ts', 'koa'],
      ['src/gateway/a.ts', 'sqlite3'],
      ['src/gateway/a.ts', '@aws-sdk/client-s3'],
      ['src/egress/a.ts', '@google-cloud/storage'],
      ['src/egress/a.ts', '@azure/storage-blob'],
      ['src/versioning/a.ts', 'kysely'],
      ['src/versioning/a.ts', 'a-package-that-nobody-owns'],
    ] as const) {
      assert.deepEqual(rules({ [path]: `import { a } from '${name}'` }), [`${path}:1 owner`], `${name} in ${path}`)
    }
    assert.deepEqual(rules({ 'src/versioning/a.ts': "import type { Kysely } from 'kysely'" }), [])
    assert.deepEqual(rules({ 'bench/a.ts': "import { S3Client } from '@aws-sdk/client-s3'" }), [])
  })

  it('keeps the environment to the configuration', () => {
    assert.deepEqual(rules({ 'src/cloud/a.ts': '\n\nexport const home = process.env.HOME' }), [
      'src/cloud/a.ts:3 environment',
    ])
    assert.deepEqual(rules({ 'src/cloud/a.ts': "import { argv, env } from 'node:process'" }), [
      'src/cloud/a.ts:1 environment',
    ])
    assert.deepEqual(rules({ 'src/cloud/a.ts': '// process.env is read elsewhere' }), [])
  })

  it('names an import of a file that is not there', () => {
    assert.deepEqual(rules({ 'src/kernel/a.ts': "import './gone.ts'" }), ['src/kernel/a.ts:1 missing'])
  })

  it('lets tests reach into anything', () => {
    const text =
      "import Koa from 'koa'\nimport { now } from './clock.ts'\nimport { start } from '../gateway/index.ts'\nprocess.env.A = '1'"
    assert.deepEqual(rules({ 'src/kernel/clock.test.ts': text }), [])
  })
})

describe('reading imports', () => {
  it('sees statements over several lines, re-exports and import(), and no comments or strings', () => {
    const text = [
      "import a, { type B } from 'one'",
      'import {\n  type C,\n  type D,\n} from "two"',
      "export * as e from 'three'",
      "// import f from 'no'",
      "/* export * from 'no' */",
      "const url = \"http://no\" // it's 'no'",
      "const g = await import('four')",
      "type H = import('five').Thing",
    ].join('\n')
    assert.deepEqual(
      readImports(text).map(({ specifier, line, typeOnly }) => [specifier, line, typeOnly]),
      [
        ['one', 1, false],
        ['two', 2, true],
        ['three', 6, false],
        ['four', 10, false],
        ['five', 11, true],
      ],
    )
  })

  it('finds the imports of this repository', () => {
    const root = dirname(dirname(fileURLToPath(import.meta.url)))
    const self = readSources(root).find((file) => file.path === 'test/layers.test.ts')
    assert.ok(readImports(self?.text ?? '').some((entry) => entry.specifier === '../scripts/layers.ts'))
  })
})
