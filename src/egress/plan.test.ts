import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Difference, FileEntry } from '../versioning/index.ts'
import { fingerprintOf } from './fingerprint.ts'
import { compareUtf8, type Known, planChanges, planWhole, type Step } from './plan.ts'

type Tree = Readonly<Record<string, string>>

function file(path: string, text: string): FileEntry {
  return {
    path,
    size: Buffer.byteLength(text),
    etag: '',
    content: { kind: 'inline', bytes: Buffer.from(text) },
    modifiedMs: 0,
    attributes: { metadata: {} },
    version: { commit: '', seq: 0 },
  } as unknown as FileEntry
}

const row = (path: string, text: string, sent = true): Known => ({
  path,
  fingerprint: fingerprintOf(file(path, text)),
  size: Buffer.byteLength(text),
  sent,
  owned: sent,
  etag: undefined,
  md5: undefined,
})

const sorted = (tree: Tree) => Object.entries(tree).sort(([a], [b]) => compareUtf8(a, b))

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

async function said(steps: AsyncIterable<Step>): Promise<string[]> {
  const lines: string[] = []
  for await (const step of steps)
    lines.push(`${step.kind} ${step.kind === 'delete' ? step.known.path : step.entry.path}`)
  return lines
}

const whole = (tree: Tree, known: readonly Known[]) =>
  said(planWhole(each(sorted(tree).map(([path, text]) => file(path, text))), each(known)))

function differences(before: Tree, after: Tree): Difference[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .sort(compareUtf8)
    .flatMap((path): Difference[] => {
      const [old, now] = [before[path], after[path]]
      if (old === now) return []
      const entries = { path, before: file(path, old ?? ''), after: file(path, now ?? '') }
      return [
        { ...entries, kind: old === undefined ? 'added' : now === undefined ? 'deleted' : 'changed' } as Difference,
      ]
    })
}

const changes = (before: Tree, after: Tree, known: readonly Known[]) =>
  said(
    planChanges(
      each(differences(before, after)),
      async (paths) => new Map(known.filter(({ path }) => paths.includes(path)).map((entry) => [entry.path, entry])),
      2,
    ),
  )

describe('the plan of a push', () => {
  it('uploads what is new or other, skips what is the same, deletes what is gone', async () => {
    const known = [row('b', 'same'), row('c', 'old'), row('d', 'gone')]
    assert.deepEqual(await whole({ a: 'new', b: 'same', c: 'other' }, known), [
      'upload a',
      'skip b',
      'upload c',
      'delete d',
    ])
  })

  it('deletes nothing that the ledger does not know', async () => {
    assert.deepEqual(await whole({}, []), [])
    assert.deepEqual(await changes({ a: 'x', b: 'y' }, {}, [row('b', 'y')]), ['delete b'])
  })

  it('sends again what was on its way when a push died', async () => {
    assert.deepEqual(await whole({ a: 'x' }, [row('a', 'x', false)]), ['upload a'])
  })

  it('skips what an earlier try of the same tree has sent', async () => {
    assert.deepEqual(await changes({}, { a: 'x', b: 'y' }, [row('a', 'x')]), ['skip a', 'upload b'])
  })

  it('leaves folder markers out, and takes away what a marker has replaced', async () => {
    assert.deepEqual(await whole({ 'dir/': '', 'dir/a': 'x', 'full/': 'not empty' }, []), [
      'upload dir/a',
      'upload full/',
    ])
    assert.deepEqual(await changes({ 'd/': 'text' }, { 'd/': '' }, [row('d/', 'text')]), ['delete d/'])
  })

  it('goes in UTF-8 byte order, which is not that of JavaScript', async () => {
    const tree = { '\u{1f388}': 'x', '\uffee': 'x' }
    const known = [row('\uffee', 'x'), row('\u{1f388}', 'x')]
    assert.deepEqual(await whole(tree, known), ['skip \uffee', 'skip \u{1f388}'])
  })

  it('makes the target what the tree is, by differences and as a whole alike', async () => {
    const tree = fc.dictionary(
      fc.constantFrom('a', 'a/b', 'b', 'c/', 'd', 'ü', '\u{1f388}', 'z'),
      fc.constantFrom('', '1', '2'),
      {
        noNullPrototype: true,
      },
    )
    const withoutMarkers = (files: Tree) =>
      Object.fromEntries(Object.entries(files).filter(([path, text]) => !(path.endsWith('/') && text === '')))
    await fc.assert(
      fc.asyncProperty(tree, tree, async (before, after) => {
        const known = sorted(withoutMarkers(before)).map(([path, text]) => row(path, text))
        for (const steps of [await whole(after, known), await changes(before, after, known)]) {
          const target: Record<string, string> = { ...withoutMarkers(before) }
          for (const line of steps) {
            const [kind, path] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]
            if (kind === 'delete') delete target[path]
            else target[path] = after[path]!
          }
          assert.deepEqual(sorted(target), sorted(withoutMarkers(after)))
        }
      }),
    )
  })
})
