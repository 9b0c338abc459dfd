import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type CommitId, CommitNotFound, type FileChange, parsePath } from './index.ts'
import { all, Timeline } from './testing/timeline.ts'

const past = new Timeline()

describe('the log of a file', () => {
  const paths = ['a', 'a/b', 'c']
  const brief = ({ commit, difference, ...counts }: FileChange) => ({
    id: commit.id,
    kind: difference?.kind,
    ...counts,
  })

  it('has each commit whose diff shows it, against a plain model of commits, restores and branches', async () => {
    const steps = fc.array(
      fc.oneof(
        {
          weight: 5,
          arbitrary: fc.record({
            kind: fc.constant('commit' as const),
            writes: fc.array(fc.record({ path: fc.nat(2), text: fc.constantFrom(null, 'x', 'yy') }), {
              minLength: 1,
              maxLength: 3,
            }),
          }),
        },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant('restore' as const), of: fc.nat(9) }) },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('branch' as const), of: fc.nat(9) }) },
      ),
      { minLength: 1, maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        let line = await past.newRepo('b0')
        const { repo } = line
        type Kept = { readonly id: CommitId; readonly files: ReadonlyMap<string, string> }
        const every: Kept[] = []
        let history: Kept[] = []
        let branches = 0
        for (const step of list) {
          let files = new Map(history.at(-1)?.files)
          let id: CommitId
          if (step.kind === 'commit') {
            // The last word on a path counts.
            const writes = Object.fromEntries(step.writes.map(({ path, text }) => [paths[path]!, text]))
            for (const [path, text] of Object.entries(writes)) {
              if (text === null) files.delete(path)
              else files.set(path, text)
            }
            id = (await past.commit(writes, line)).id
          } else {
            const target = every[step.of % Math.max(1, every.length)]
            if (!target) continue
            if (step.kind === 'branch') {
              const place = history.indexOf(target)
              if (place < 0) continue
              history = history.slice(0, place + 1)
              line = past.beside(`b${++branches}`, line)
              await past.versioning.createBranch(line, { from: target.id })
              continue
            }
            files = new Map(target.files)
            id = (await past.versioning.restore(line, target.id)).id
          }
          const kept = { id, files }
          every.push(kept)
          history = [...history, kept]
        }
        const last = history.at(-1)
        if (!last) return
        for (const path of paths) {
          const wanted = history
            .flatMap(({ id, files }, index) => {
              const [one, other] = [history[index - 1]?.files.get(path), files.get(path)]
              if (one === other) return []
              return [{ id, kind: one === undefined ? 'added' : other === undefined ? 'deleted' : 'changed' }]
            })
            .toReversed()
          const log = (more: { before?: CommitId; limit?: number } = {}): Promise<FileChange[]> =>
            all(past.versioning.lookingBack.fileLog(repo, last.id, { path: parsePath(path) }, more))
          const found = await log()
          assert.deepEqual(
            found.map(brief).map(({ id, kind }) => ({ id, kind })),
            wanted,
          )
          const rest = found[0] ? await log({ before: found[0].commit.id, limit: 2 }) : []
          assert.deepEqual(rest.map(brief), found.slice(1, 3).map(brief))
        }
        const below = await all(past.versioning.lookingBack.fileLog(repo, last.id, { prefix: 'a' }))
        const wanted = history
          .flatMap(({ id, files }, index) => {
            const before = history[index - 1]?.files
            const of = (kind: (one: string | undefined, other: string | undefined) => boolean) =>
              ['a', 'a/b'].filter((path) => kind(before?.get(path), files.get(path))).length
            const added = of((one, other) => one === undefined && other !== undefined)
            const deleted = of((one, other) => one !== undefined && other === undefined)
            const changed = of((one, other) => one !== undefined && other !== undefined && one !== other)
            const size = (of: ReadonlyMap<string, string> | undefined) =>
              ['a', 'a/b'].reduce((sum, path) => sum + (of?.get(path)?.length ?? 0), 0)
            return added + deleted + changed === 0
              ? []
              : [{ id, kind: undefined, added, deleted, changed, growthBytes: size(files) - size(before) }]
          })
          .toReversed()
        assert.deepEqual(below.map(brief), wanted)
      }),
      { numRuns: 40 },
    )
  })

  it('goes on only in the history that was asked for: who may read one branch learns nothing of another', async () => {
    const path = parsePath('a')
    const one = await past.commit({ a: '1' })
    const two = await past.commit({ a: '22' })
    const other = past.beside('other')
    await past.versioning.createBranch(other)
    const hidden = await past.commit({ a: 'hidden' }, other)
    await past.commit({ a: 'hidden too' }, other)
    const log = (before: CommitId) =>
      all(past.versioning.lookingBack.fileLog(past.at.repo, two.id, { path }, { before }))
    assert.deepEqual(
      (await log(two.id)).map(brief).map(({ id }) => id),
      [one.id],
    )
    await assert.rejects(log(hidden.id), CommitNotFound)
    await assert.rejects(
      all(past.versioning.lookingBack.fileLog(past.at.repo, one.id, { path }, { before: two.id })),
      CommitNotFound,
    )
  })
})
