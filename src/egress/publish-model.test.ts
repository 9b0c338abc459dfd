import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { StoreDenied } from '../cloud/index.ts'
import { isData } from './manifest.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'
import { Harness } from './testing/harness.ts'

type Tree = Readonly<Record<string, string>>

interface Push {
  readonly commit: number
  readonly settings: PushSettings
  /** The request at which the target begins to refuse everything. */
  readonly failsAt: number | undefined
}

/** A commit's tree is always the same. */
const trees: readonly Tree[] = [
  {},
  { a: '1', 'd/b': '1', 'd/_SUCCESS': '', empty: '' },
  { a: '2', 'd/b': '1', 'd/_SUCCESS': '', 'd/': '' },
  { 'd/b': '2', c: '1', _SUCCESS: 'own' },
  { a: '1', c: '1', _hidden: 'x' },
]
const idOf = (commit: number) => String(commit).repeat(32)

const settings = fc
  .record({
    layout: fc.constantFrom('plain', 'commit'),
    manifests: fc.constantFrom([], [{ path: 'manifest.json' }], [{ path: 'm/d', glob: '/d/*' }, { path: 'm/all' }]),
    success: fc.boolean(),
    keep: fc.constantFrom(undefined, 2, 3),
  })
  .map(({ layout, manifests, success, keep }): PushSettings => {
    const kept = layout === 'commit' && keep !== undefined ? { keep } : {}
    return { ...PLAIN_SETTINGS, layout: layout as PushSettings['layout'], manifests, success, ...kept }
  })

/** Most keep to the same settings, as pipelines do. */
const pushes = settings.chain((usual) =>
  fc.array(
    fc.record<Push>({
      commit: fc.nat(trees.length - 1),
      settings: fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: settings }),
      failsAt: fc.option(fc.nat(6), { nil: undefined, freq: 2 }),
    }),
    { minLength: 6, maxLength: 12 },
  ),
)

/** What a folder is to hold: the files, and what is asked for beside them. */
function expected({ commit, settings }: Push): Tree {
  const base = settings.layout === 'commit' ? `${idOf(commit)}/` : ''
  const files = Object.entries(trees[commit]!).filter(([path, text]) => !(path.endsWith('/') && text === ''))
  const data = files.filter(([path, text]) => isData({ path, size: text.length })).map(([path]) => path)
  const listed = (glob: string | undefined) => data.filter((path) => glob === undefined || path.startsWith('d/')).sort()
  const held: Record<string, string> = Object.fromEntries(files.map(([path, text]) => [base + path, text]))
  for (const { path, glob } of settings.manifests) {
    held[base + path] = listed(glob)
      .map((file) => `s3://bucket/${base}${file}`)
      .join()
  }
  if (settings.success) held[`${base}_SUCCESS`] ??= ''
  return held
}

/** Manifests as the names that they list. */
function shown(held: Tree): Tree {
  const urls = (text: string) => (JSON.parse(text) as { entries: { url: string }[] }).entries.map(({ url }) => url)
  return Object.fromEntries(
    Object.entries(held).map(([path, text]) => [path, text.startsWith('{"entries"') ? urls(text).join() : text]),
  )
}

describe('a target', () => {
  it('holds after every push that succeeds just what it asks for, whatever was pushed and failed before', async () => {
    const h = await Harness.open()
    let round = 0
    // The folder was whole under its mark once, and all pushes since have kept to that.
    let isMarked = false
    try {
      await fc.assert(
        fc.asyncProperty(pushes, async (list) => {
          for (const push of list) {
            const marks = push.settings.layout === 'plain' && push.settings.success
            const ended = await step(h, push, { job: `push-${round++}`, isMarked: isMarked && marks })
            isMarked = marks && (isMarked || ended === 'success')
          }
        }),
        { numRuns: 20 },
      )
    } finally {
      await h.close()
    }
  })
})

async function step(
  h: Harness,
  push: Push,
  { job, isMarked }: { job: string; isMarked: boolean },
): Promise<'success' | 'failed'> {
  const { commit, settings, failsAt } = push
  let left = failsAt
  h.target.before = () => {
    if (left !== undefined && left-- <= 0) throw new StoreDenied('no more')
  }
  const { state, reason } = await h.push(job, trees[commit]!, { settings, commit: idOf(commit) })
  h.target.before = () => undefined
  const held = shown(await h.held())
  const wanted = expected(push)
  if (state === 'failed') {
    assert.match(reason!, /no more/)
    // While it is there, all is there.
    if (!isMarked || !('_SUCCESS' in held)) return 'failed'
    const plain = { ...push, settings: { ...settings, manifests: [] } }
    const data = Object.fromEntries(Object.entries(held).filter(([path]) => !path.startsWith('m')))
    const whole = trees.map((_, other) => expected({ ...plain, commit: other }))
    assert.ok(
      whole.some((files) => isDeepStrictEqual(files, data)),
      JSON.stringify(held),
    )
    return 'failed'
  }
  assert.equal(reason, undefined)
  if (settings.layout === 'plain') {
    assert.deepEqual(held, wanted)
    return 'success'
  }
  assert.equal(held['latest'], `${idOf(commit)}\n`)
  assert.deepEqual(below(held, `${idOf(commit)}/`), wanted)
  const folders = new Set(Object.keys(held).flatMap((path) => /^([0-9])\1{31}(?=\/)/.exec(path)?.slice(0, 1) ?? []))
  const known = await h.db.all<{ commit_id: string; whole: number }>('SELECT commit_id, whole FROM egress_folder')
  assert.ok([...folders].every((folder) => known.some(({ commit_id }) => commit_id === folder)))
  if (settings.keep !== undefined) assert.ok(known.filter(({ whole }) => whole === 1).length <= settings.keep)
  const beside = Object.keys(held).filter((path) => !folders.has(path.split('/', 1)[0]!))
  assert.deepEqual(beside.sort(), ['latest', ...settings.manifests.map(({ path }) => path)].sort())
  for (const { path } of settings.manifests) assert.equal(held[path], held[`${idOf(commit)}/${path}`])
  return 'success'
}

function below(held: Tree, base: string): Tree {
  return Object.fromEntries(Object.entries(held).filter(([path]) => path.startsWith(base)))
}
