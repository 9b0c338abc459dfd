import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidInput } from '../../kernel/index.ts'
import type { CommitId, Content } from '../../versioning/index.ts'
import { type Input, type PfsInput, parseSpec } from '../spec/index.ts'
import { fingerprint, type InputMatches, type Match, planDatums } from './datums.ts'

const content = (text: string): Content => ({ kind: 'inline', bytes: Buffer.from(text) })
const match = (path: string, text = path): Match => ({
  path,
  files: [{ path: path.slice(1), size: text.length, content: content(text) }],
})

function inputOf(input: unknown): Input {
  return parseSpec({ pipeline: { name: 'p' }, transform: { cmd: ['true'] }, input }).spec.input
}

function plan(input: unknown, matches: Readonly<Record<string, readonly Match[] | undefined>>) {
  const matchesOf = (leaf: PfsInput): InputMatches => {
    const found = matches[leaf.name]
    return { input: leaf, matches: found ?? [], ...(found && { commit: 'c'.repeat(32) as CommitId }) }
  }
  return planDatums(inputOf(input), matchesOf)
}

const pfs = (repo: string, name = repo) => ({ pfs: { repo, name, glob: '/*' } })
const paths = (datums: ReturnType<typeof plan>) =>
  datums.map(({ inputs }) => inputs.map(({ name, match: m }) => `${name}:${m.path}`).join(' '))
const settings = { code: 'c', spec: 's' }

describe('datums', () => {
  it('makes one of each match of a single input', () => {
    assert.deepEqual(paths(plan(pfs('a'), { a: [match('/1'), match('/2')] })), ['a:/1', 'a:/2'])
  })

  it('makes every combination of a cross, nested ones too', () => {
    const input = { cross: [pfs('a'), { union: [pfs('b'), { cross: [pfs('c'), pfs('d')] }] }] }
    const datums = plan(input, { a: [match('/1'), match('/2')], b: [match('/x')], c: [match('/y')], d: [match('/z')] })
    assert.deepEqual(paths(datums), ['a:/1 b:/x', 'a:/1 c:/y d:/z', 'a:/2 b:/x', 'a:/2 c:/y d:/z'])
    assert.equal(new Set(datums.map(({ id }) => id)).size, 4)
  })

  it('makes none of a cross with a branch that has no commit', () => {
    assert.deepEqual(plan({ cross: [pfs('a'), pfs('b')] }, { a: [match('/1')], b: undefined }), [])
  })

  it('takes what two parts of a union have in common once', () => {
    assert.deepEqual(paths(plan({ union: [pfs('a', 'x'), pfs('b', 'x')] }, { x: [match('/1')] })), ['x:/1'])
  })

  it('refuses more than a million before it makes any of them', () => {
    const many = Array.from({ length: 1001 }, (_, i) => match(`/${i}`))
    assert.throws(() => plan({ cross: [pfs('a'), pfs('b')] }, { a: many, b: many }), InvalidInput)
  })

  it('keeps the id of a datum whose content changes, and changes its fingerprint', () => {
    const [before] = plan(pfs('a'), { a: [match('/1', 'old')] })
    const [after] = plan(pfs('a'), { a: [match('/1', 'new')] })
    assert.equal(before!.id, after!.id)
    assert.notDeepEqual(fingerprint(settings, before!), fingerprint(settings, after!))
  })

  it('gives another fingerprint for other code, spec, name or path, and the same for the same', () => {
    const [one] = plan(pfs('a'), { a: [match('/1', 'text')] })
    const [again] = plan(pfs('a'), { a: [match('/1', 'text')] })
    const [named] = plan(pfs('a', 'b'), { b: [match('/1', 'text')] })
    const [moved] = plan(pfs('a'), { a: [match('/2', 'text')] })
    const prints = [
      fingerprint(settings, one!),
      fingerprint({ ...settings, code: 'd' }, one!),
      fingerprint({ ...settings, spec: 't' }, one!),
      fingerprint(settings, named!),
      fingerprint(settings, moved!),
    ].map((print) => print.toString('hex'))
    assert.equal(new Set(prints).size, prints.length)
    assert.deepEqual(fingerprint(settings, one!), fingerprint(settings, again!))
  })

  it('ignores content where an input has empty files', () => {
    const input = { pfs: { repo: 'a', glob: '/*', empty_files: true } }
    const [before] = plan(input, { a: [match('/1', 'old')] })
    const [after] = plan(input, { a: [match('/1', 'new')] })
    assert.deepEqual(fingerprint(settings, before!), fingerprint(settings, after!))
  })
})
