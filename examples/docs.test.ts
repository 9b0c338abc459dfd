/** What docs/ says, checked against the code. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { s3Page } from '../scripts/s3-table.ts'
import { parseTargetUrl } from '../src/cloud/index.ts'
import { parseSettings, SETTING_FIELDS } from '../src/egress/settings.ts'
import { parseSpec } from '../src/pipelines/spec/index.ts'

const project = join(import.meta.dirname, '..')
const read = (name: string) => readFileSync(join(project, name), 'utf8')

/** The part of a page below a heading. */
function section(page: string, title: string): string {
  const found = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`))
  assert.ok(found, `there is a section ${title}`)
  return found
}

/** The code spans of a text. */
function codes(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
}

type Json = { [name: string]: Json | string | string[] | number | boolean }

const minimal = (): Json => ({
  pipeline: { name: 'p' },
  transform: { cmd: ['true'] },
  input: { pfs: { repo: 'r', glob: '/' } },
})

/** A spec that is right but for this field. */
function withField(field: string, value: Json[string]): Json {
  const spec = minimal()
  const names = field.split('.')
  const last = names.pop() ?? ''
  let at = spec
  for (const name of names) {
    at[name] ??= {}
    at = at[name] as Json
  }
  at[last] = value
  return spec
}

function problemsOf(spec: Json): string {
  try {
    parseSpec(spec)
    return ''
  } catch (error) {
    return String(error)
  }
}

describe('docs/pipeline-spec.md', () => {
  const page = read('docs/pipeline-spec.md')

  it('shows a spec that is accepted', () => {
    const [, json = ''] = /```json\n(.*?)```/s.exec(page) ?? []
    assert.equal(parseSpec(JSON.parse(json)).spec.name, 'edges')
    assert.deepEqual(JSON.parse(json), JSON.parse(read('examples/edges/pipeline.json')))
  })

  it('lists as accepted only what is known', () => {
    const rows = [...section(page, 'Accepted').matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = '']) => codes(cell))
    assert.ok(rows.length > 20)
    for (const field of rows) {
      // Of the wrong kind on purpose: a field that is known is complained about by its kind, not by its name.
      const problems = problemsOf(withField(field, 7.5))
      assert.doesNotMatch(problems, /is not a field|later release/, field)
    }
  })

  it('lists as refused only what is refused by name', () => {
    const [later = '', otherwise = ''] = section(page, 'Refused').split('These are said in another way')
    const fields = codes(later)
    assert.ok(fields.length > 15)
    for (const field of fields) {
      const problems = problemsOf(withField(field, 'x'))
      assert.match(problems, new RegExp(`\`${field.replaceAll('.', '\\.')}\` comes in a later release`), field)
    }
    for (const [, field = ''] of otherwise.matchAll(/^\| `([^`]+)`/gm)) {
      const problems = problemsOf(withField(field, 'x'))
      assert.match(problems, new RegExp(`\`${field.replaceAll('.', '\\.')}\` (?!is not a field)`), field)
    }
  })
})

describe('docs/s3.md', () => {
  it('has the table of operations that requests are routed by (node scripts/s3-table.ts writes it again)', () => {
    const page = read('docs/s3.md')
    assert.equal(page, s3Page(page))
  })
})

describe('README.md', () => {
  const page = read('README.md')

  it('lists every setting that there is, and no other', () => {
    const names = (text: string) => [...new Set(text.match(/\bSLUICE_[A-Z0-9_]+/g))].sort()
    assert.deepEqual(names(section(page, 'Settings').replaceAll('`SLUICE_`', '')), names(read('src/kernel/config.ts')))
  })
})

describe('docs/clients', () => {
  const guides = readdirSync(join(project, 'docs/clients')).filter((name) => name !== 'README.md')
  // What is no client of its own: the runner of another suite, two servers, what the suites share.
  const others = ['s3-tests', 'egress', 'shared']
  const folders = readdirSync(join(project, 'conformance'), { withFileTypes: true })
  const suites = folders.filter((entry) => entry.isDirectory() && !others.includes(entry.name)).map(({ name }) => name)

  it('has a guide for each client that is driven, and for no other, and all of them in its index', () => {
    assert.deepEqual(guides.map((name) => name.replace('.md', '')).sort(), suites.sort())
    for (const name of guides) assert.ok(read('docs/clients/README.md').includes(`](${name})`), name)
  })

  for (const name of suites) {
    it(`${name}: its suite reads the guide, and says what it covers`, () => {
      const sources = readdirSync(join(project, 'conformance', name)).filter((file) => /\.(ts|py)$/.test(file))
      const text = sources.map((file) => read(`conformance/${name}/${file}`)).join('\n')
      assert.match(text, new RegExp(`followGuide\\(bench, '${name}'|guide: '${name}'|docs/clients/${name}`))
      assert.ok(existsSync(join(project, 'conformance', name, 'COVERAGE.md')))
    })
  }
})

describe('docs/egress', () => {
  const guides = readdirSync(join(project, 'docs/egress'))

  it('has each guide in its index', () => {
    for (const name of guides) assert.ok(read('docs/egress.md').includes(`](egress/${name})`), name)
  })

  for (const page of ['egress.md', ...guides.map((name) => `egress/${name}`)]) {
    it(`${page} shows an egress that is accepted`, () => {
      const shown = [...read(`docs/${page}`).matchAll(/^```json\n("egress": .*?)^```$/gms)]
      assert.ok(shown.length > 0)
      for (const [, text] of shown) {
        const { URL: url, secret: _, ...settings } = JSON.parse(`{${text}}`).egress
        const unknown = Object.keys(settings).filter((field) => !SETTING_FIELDS.includes(field))
        assert.deepEqual(unknown, [])
        parseSettings(settings, parseTargetUrl(url))
      }
    })
  }
})

describe('the documents', () => {
  const pages = [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'examples/README.md',
  ].concat(
    readdirSync(join(project, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  )

  for (const page of pages) {
    it(`${page} links only to what is there`, () => {
      for (const [, target = ''] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        assert.ok(existsSync(join(project, dirname(page), target)), `${page} links to ${target}`)
      }
    })
  }
})
