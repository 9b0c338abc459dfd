import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Target } from '../cloud/index.ts'
import { InvalidInput } from '../kernel/index.ts'
import { PLAIN_SETTINGS, parseSettings } from './settings.ts'

const s3 = { kind: 's3', url: 's3://bucket/dir' } as Target
const gcs = { kind: 'gcs', url: 'gs://bucket/dir' } as Target

describe("the settings of a spec's egress", () => {
  it('are the plain ones where nothing is said', () => {
    assert.deepEqual(parseSettings({}, gcs), PLAIN_SETTINGS)
    assert.deepEqual(parseSettings({ manifest: false, success: false, layout: 'plain' }, gcs), PLAIN_SETTINGS)
  })

  it('are read from all their forms', () => {
    const manifests = (manifest: unknown) => parseSettings({ manifest }, s3).manifests
    assert.deepEqual(manifests(true), [{ path: 'manifest.json' }])
    assert.deepEqual(manifests('m/orders.json'), [{ path: 'm/orders.json' }])
    assert.deepEqual(manifests({ glob: '/orders/*' }), [{ path: 'manifest.json', glob: '/orders/*' }])
    assert.deepEqual(manifests([{ path: 'a', glob: '/a' }, 'b']), [{ path: 'a', glob: '/a' }, { path: 'b' }])
    assert.deepEqual(parseSettings({ layout: 'commit', keep: 3, success: true, parallel: 4, bandwidth: '50MB' }, gcs), {
      layout: 'commit',
      keep: 3,
      manifests: [],
      success: true,
      parallel: 4,
      bandwidth: 50_000_000,
    })
    assert.equal(parseSettings({ bandwidth: 2_000_000 }, s3).bandwidth, 2_000_000)
  })

  const wrong: readonly [Record<string, unknown>, RegExp][] = [
    [{ layout: 'flat' }, /^egress\.layout is "plain"/],
    [{ keep: 3 }, /^egress\.keep needs "layout": "commit"/],
    [{ keep: 1, layout: 'commit' }, /^egress\.keep must be at least 2/],
    [{ keep: 1001, layout: 'commit' }, /^egress\.keep is a whole number from 2 to 1000/],
    [{ success: 'yes' }, /^egress\.success is true or false/],
    [{ parallel: 0 }, /^egress\.parallel is a whole number from 1 to 64/],
    [{ parallel: 2.5 }, /^egress\.parallel/],
    [{ bandwidth: 'fast' }, /^egress\.bandwidth is a number of bytes/],
    [{ bandwidth: 10 }, /^egress\.bandwidth .* at least 1024/],
    [{ manifest: 7 }, /^egress\.manifest is true, a path/],
    [{ manifest: [] }, /^egress\.manifest lists 1 to 100/],
    [{ manifest: ['a', 'a'] }, /^egress\.manifest names "a" twice/],
    [{ manifest: { name: 'a' } }, /^egress\.manifest has path and glob, not "name"/],
    [{ manifest: { glob: '/[a]' } }, /^egress\.manifest\.glob is no glob/],
    [{ manifest: '../a' }, /is not a path below the target folder/],
    [{ manifest: '/a' }, /is not a path below the target folder/],
    [{ manifest: 'a/' }, /is not a path below the target folder/],
    [{ manifest: '' }, /is not a path below the target folder/],
    [{ manifest: 'a\nb' }, /can not be a name/],
    [{ manifest: 'x'.repeat(600) }, /can not be a name/],
    [{ manifest: 'a/_SUCCESS' }, /is the mark that all is there/],
    [{ manifest: 'latest', layout: 'commit' }, /is taken by the layout/],
    [{ manifest: `${'a'.repeat(32)}/m`, layout: 'commit' }, /is taken by the layout/],
  ]
  for (const [fields, message] of wrong) {
    it(`are refused: ${JSON.stringify(fields).slice(0, 70)}`, () => {
      assert.throws(
        () => parseSettings(fields, s3),
        (error) => error instanceof InvalidInput && message.test(error.message),
      )
    })
  }

  it('have no manifest where Redshift can not read', () => {
    assert.throws(() => parseSettings({ manifest: true }, gcs), /Redshift, which reads from Amazon S3 only/)
  })
})
