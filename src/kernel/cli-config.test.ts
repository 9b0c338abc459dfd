import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readCliConfig } from './cli-config.ts'
import { InvalidConfig } from './errors.ts'

describe('readCliConfig', () => {
  it('points at the server of this machine and at ./data when nothing is set', () => {
    const config = readCliConfig({ HOME: '/home/u' }, '/somewhere')
    assert.equal(config.apiUrl, undefined)
    assert.equal(config.defaultApiUrl, 'http://127.0.0.1:30601')
    assert.equal(config.defaultS3Url, 'http://127.0.0.1:30600')
    assert.equal(config.dataFolder, '/somewhere/data')
    assert.equal(config.awsCredentialsFile, join('/home/u', '.aws', 'credentials'))
    assert.equal(config.region, 'us-east-1')
  })

  it('reaches a server that listens everywhere by the loopback address', () => {
    assert.equal(
      readCliConfig({ SLUICE_HOST: '0.0.0.0', SLUICE_API_PORT: '9' }, '/').defaultApiUrl,
      'http://127.0.0.1:9',
    )
    assert.equal(readCliConfig({ SLUICE_HOST: '::' }, '/').defaultApiUrl, 'http://[::1]:30601')
  })

  it('takes the slash from the end of the API address', () => {
    assert.equal(readCliConfig({ SLUICE_API_URL: 'https://s.example/' }, '/').apiUrl, 'https://s.example')
  })

  it('names every problem at once', () => {
    const env = { SLUICE_API_URL: 'ftp://x', SLUICE_API_PORT: '70000', AWS_ACCESS_KEY_ID: 'only-the-id' }
    assert.throws(
      () => readCliConfig(env, '/'),
      (error) =>
        error instanceof InvalidConfig &&
        ['SLUICE_API_URL', 'SLUICE_API_PORT', 'AWS_SECRET_ACCESS_KEY'].every((name) => error.message.includes(name)),
    )
  })
})
