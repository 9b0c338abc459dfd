import assert from 'node:assert/strict'
import { it } from 'node:test'
import { readConfig } from './config.ts'
import { InvalidConfig } from './errors.ts'

const read = (env: Record<string, string>) => readConfig(env, { cpus: 2, folder: '/' })

it('takes domains as host names, and nothing else for one', () => {
  assert.deepEqual(read({}).domains, [])
  const SLUICE_DOMAINS = 's3.example.com, S3.Internal,localhost'
  assert.deepEqual(read({ SLUICE_DOMAINS }).domains, ['s3.example.com', 's3.internal', 'localhost'])
  for (const wrong of [
    's3.example.com:9000',
    'http://s3.example.com',
    '.example.com',
    'a..b',
    '*.example.com',
    'a b',
  ]) {
    assert.throws(() => read({ SLUICE_DOMAINS: wrong }), InvalidConfig, wrong)
  }
})

it('keeps those without a key out of everything where public access is blocked', () => {
  assert.equal(read({}).anonymous, true)
  assert.equal(read({ SLUICE_BLOCK_PUBLIC_ACCESS: 'on' }).anonymous, false)
  assert.throws(() => read({ SLUICE_BLOCK_PUBLIC_ACCESS: 'yes' }), InvalidConfig)
})

it('takes a bandwidth with a unit, and refuses one that nothing could be sent with', () => {
  assert.equal(read({}).egressBandwidth, undefined)
  for (const [text, bytes] of [
    ['50MB', 50e6],
    ['100 MiB', 100 * 2 ** 20],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['20000', 20_000],
  ] as const) {
    assert.equal(read({ SLUICE_EGRESS_BANDWIDTH: text }).egressBandwidth, bytes)
  }
  for (const wrong of ['0', '-1', '1023', '10 apples', 'MB', '1e9', '50MB/s', '99999999999999TB']) {
    assert.throws(() => read({ SLUICE_EGRESS_BANDWIDTH: wrong }), /at least 1024: .*50MB, 100MiB/, wrong)
  }
})
