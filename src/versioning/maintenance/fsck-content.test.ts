import { rm, truncate } from 'node:fs/promises'
import { findsDamage, overwrite, packs, placeOf, sha256Of, sql } from '../testing/damage.ts'

findsDamage('fsck of content', [
  {
    what: 'a bit of a content is flipped',
    make: async ({ store }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'small'))
      await overwrite(file, offset + 500, (byte) => byte ^ 16)
    },
    kind: 'content',
    says: /its bytes have changed/,
    paths: ['small'],
    commits: ['first', 'second'],
    deep: true,
    mended: true,
  },
  {
    what: 'a bit before a content is flipped',
    make: async ({ store }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'small'))
      await overwrite(file, offset - 30, (byte) => byte ^ 2)
    },
    kind: 'content',
    says: /another record is at its place/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'a content is overwritten',
    make: async ({ store, first }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'old', first))
      for (let i = 0; i < 20; i++) await overwrite(file, offset + 100 + i, (byte) => byte ^ 255)
    },
    kind: 'content',
    says: /its bytes have changed/,
    paths: ['old'],
    commits: ['first'],
    deep: true,
    mended: false,
  },
  {
    what: 'a row of the index is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk WHERE sha256 = unhex(?)', await sha256Of(store, 'small')),
    kind: 'content',
    says: /no pack is known to hold it/,
    paths: ['small'],
    commits: ['first', 'second'],
    mended: true,
  },
  {
    what: 'all of the index is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk'),
    kind: 'content',
    says: /no pack is known to hold it/,
    mended: true,
  },
  {
    what: 'a row of the index names another place',
    make: async ({ store }) =>
      sql(store, 'UPDATE chunk SET "offset" = "offset" + 7 WHERE sha256 = unhex(?)', await sha256Of(store, 'small')),
    kind: 'content',
    says: /there is no record at its place/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'a piece of a large file is lost',
    make: async ({ store }) =>
      sql(store, 'DELETE FROM chunk WHERE sha256 = (SELECT sha256 FROM chunk ORDER BY length DESC LIMIT 1)'),
    kind: 'content',
    says: /its piece \d of \d, [0-9a-f]{64}: no pack is known to hold it/,
    paths: ['large'],
    commits: ['first', 'second'],
    mended: true,
  },
  {
    what: 'content that only an older version has is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk WHERE length = 700'),
    kind: 'content',
    says: /no pack is known to hold it/,
    paths: ['twice'],
    mended: true,
  },
  {
    what: 'content in use is marked as unused',
    make: async ({ store }) =>
      sql(
        store,
        'INSERT INTO doomed_chunk (sha256, length, doomed_ms) VALUES (unhex(?), 1000, 0)',
        await sha256Of(store, 'small'),
      ),
    kind: 'content',
    says: /marked as unused/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'the header of a pack is damaged',
    make: async ({ store }) => overwrite(packs(store)[0]!, 3, (byte) => byte ^ 1),
    kind: 'pack',
    says: /does not begin as a pack does/,
    mended: true,
  },
  {
    what: 'a pack has lost its end',
    make: async ({ store }) => truncate(packs(store)[0]!, 1_000_000),
    kind: 'content',
    says: /its pack ends before it|its piece/,
    mended: false,
  },
  {
    what: 'a pack is lost',
    make: async ({ store }) => rm(packs(store)[0]!),
    kind: 'pack',
    says: /the file of pack [0-9a-f]{32} is missing: it held \d+ pieces/,
    mended: false,
  },
])
