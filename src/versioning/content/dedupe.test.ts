import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB, MIB } from '../../kernel/index.ts'
import type { StagedContent } from '../content-store.ts'
import { readAll, StoreFolder, store } from './testing/open-store.ts'
import { archives, edits, tables, type Versions } from './testing/versions.ts'

/** A hundred-and-twenty-eighth of what stores have, so that 8 MiB stand for 1 GiB, and parts of 64 KiB for parts of 8 MiB. */
const CHUNK = 8 * KIB
const PART = 8 * CHUNK
const BODY = 8 * MIB

/** Bytes of chunks that were stored for it; its manifests are not counted. */
function storedBytes(staged: readonly StagedContent[]): number {
  const manifests = new Set(
    staged.flatMap(({ content }) => (content.kind === 'manifest' ? [content.sha256.toString('hex')] : [])),
  )
  const chunks = staged.flatMap((one) => one.chunks).filter(({ sha256 }) => !manifests.has(sha256.toString('hex')))
  return chunks.reduce((sum, { length }) => sum + length, 0)
}

/** Stores both versions in a store of their own; what the second one took, in percent of it. */
async function storedAnew(version: Versions, way: Way): Promise<number> {
  const changed = version.after()
  const folder = await StoreFolder.make()
  const content = await folder.open({ limits: { chunkBytes: CHUNK } })
  try {
    let stored = 0
    for (const body of [version.before, changed]) {
      const staged: StagedContent[] = []
      const partBytes = way === 'by parts' ? PART : body.length
      for (let at = 0; at < body.length; at += partBytes)
        staged.push(await store(content, body.subarray(at, at + partBytes)))
      await folder.publish(content, ...staged)
      const read = await Promise.all(staged.map((one) => readAll(content, one)))
      assert.ok(Buffer.concat(read).equals(body))
      stored = storedBytes(staged)
    }
    return (100 * stored) / changed.length
  } finally {
    await content.close()
    await folder.remove()
  }
}

type Way = 'by one PUT' | 'by parts'

/** At most so many percent of the second version, by each way. What is not named is for bench/dedupe.ts. */
function promise(
  versions: readonly Versions[],
  most: Readonly<Record<string, readonly [whole: number, parts: number]>>,
) {
  for (const version of versions) {
    if (!(version.what in most)) continue
    for (const [index, way] of (['by one PUT', 'by parts'] as const).entries()) {
      const percent = most[version.what]?.[index] as number
      it(`stores at most ${percent} % anew ${way}: ${version.what}`, async (t) => {
        const stored = await storedAnew(version, way)
        t.diagnostic(`${stored.toFixed(2)} %`)
        assert.ok(stored <= percent, `${stored.toFixed(2)} %`)
      })
    }
  }
}

describe('a new version of a body', () => {
  // By parts all that is behind an edit is cut at other places: in each of those parts a few chunks are new.
  promise(edits(BODY), {
    '1 % appended': [1.5, 1.5],
    '1 % prepended': [1.5, 60],
    '1 % inserted in the middle': [1.5, 30],
    '1 byte inserted in the middle': [0.5, 15],
    '1 % replaced in the middle': [1.5, 1.5],
    '1 % removed from the middle': [0.5, 30],
  })
})

describe('a new version of a table', () => {
  promise(tables(BODY), {
    'a column changed in the rows of 3 days of 300': [1.5, 1.5],
    'a column changed in 10 rows, evenly spread': [2, 2],
    '0.1 % of rows inserted at one place': [1.5, 40],
  })
})

describe('a new version of an archive', () => {
  promise(archives(BODY), {
    'a file of 200 replaced': [1.5, 1.5],
    'a file added in the middle of 200': [1.5, 30],
    'a file added at the end of 200': [1.5, 1.5],
  })
})
