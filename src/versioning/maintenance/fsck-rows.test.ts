import { findsDamage, nodesSql, sql } from '../testing/damage.ts'

findsDamage('fsck of trees and rows', [
  {
    what: 'a node of a tree is lost',
    make: async ({ store }) =>
      nodesSql(store, 'DELETE FROM node WHERE rowid = (SELECT min(rowid) FROM node WHERE level = 0)'),
    kind: 'node',
    says: /it is missing/,
    mended: true,
  },
  {
    what: 'a node of a tree is changed',
    make: async ({ store }) =>
      nodesSql(
        store,
        `UPDATE node SET body = CAST(substr(body, 1, 40) || x'00' || substr(body, 42) AS BLOB) WHERE rowid = (SELECT max(rowid) FROM node WHERE level = 0)`,
      ),
    kind: 'node',
    says: /its bytes have changed/,
    mended: true,
  },
  {
    what: 'a commit names a tree that there is not',
    make: async ({ store, first }) => sql(store, 'UPDATE commits SET root = ? WHERE id = ?', '5'.repeat(64), first),
    kind: 'node',
    says: /5{64} of a tree: it is missing/,
    commits: ['first'],
    mended: false,
  },
  {
    what: 'a commit has other counts than its tree',
    make: async ({ store, first }) => sql(store, 'UPDATE commits SET files = files + 1 WHERE id = ?', first),
    kind: 'counts',
    says: /says 304 files of \d+ bytes, its tree has 303 of/,
    commits: ['first'],
    mended: true,
  },
  {
    what: 'a head names no commit',
    make: async ({ store }) => sql(store, 'UPDATE branches SET head = ?', '1'.repeat(32)),
    kind: 'row',
    says: /images@master: its head is no finished commit/,
    mended: false,
  },
  {
    what: 'a branch shows another tree than its head',
    make: async ({ store, first }) =>
      sql(store, 'UPDATE branches SET root = (SELECT root FROM commits WHERE id = ?)', first),
    kind: 'row',
    says: /it shows another tree than its head/,
    mended: false,
  },
  {
    what: 'a commit is finished and has no end',
    make: async ({ store, first }) => sql(store, "UPDATE commits SET state = 'sealed' WHERE id = ?", first),
    kind: 'row',
    says: /it has an end and is not ended/,
    commits: ['first'],
    mended: false,
  },
  {
    what: 'a tag names no commit',
    make: async ({ store }) =>
      sql(
        store,
        "INSERT INTO commit_tags (repo, name, commit_id, created_ms, message) VALUES ('images', 'v1', '2', 0, '')",
      ),
    kind: 'row',
    says: /images@v1 commit 2: the tag names a commit that is not there/,
    mended: false,
  },
  {
    what: 'the row of a version can not be read',
    make: async ({ store }) => sql(store, "UPDATE changes SET entry = substr(entry, 1, 9) WHERE path = 'small'"),
    kind: 'row',
    says: /images@master:small: the row of version/,
    paths: ['small'],
    mended: false,
  },
])
