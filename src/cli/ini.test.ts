import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findSection, readIni, setInSection } from './ini.ts'

const file = `# mine
[default]
aws_access_key_id = AK1
aws_secret_access_key=s=1

[profile other]
s3 =
  max_concurrent_requests = 4
region = eu-central-1
`

describe('AWS files', () => {
  it('are read by section, values with = in them whole', () => {
    const values = findSection(readIni(file), 'default')
    assert.equal(values?.get('aws_access_key_id'), 'AK1')
    assert.equal(values?.get('aws_secret_access_key'), 's=1')
    assert.equal(findSection(readIni(file), 'none'), undefined)
  })

  it('keep everything else when a section is changed', () => {
    const changed = setInSection(file, 'default', { aws_access_key_id: 'AK2' })
    assert.equal(findSection(readIni(changed), 'default')?.get('aws_access_key_id'), 'AK2')
    assert.equal(findSection(readIni(changed), 'default')?.get('aws_secret_access_key'), 's=1')
    assert.ok(changed.startsWith('# mine\n'))
    assert.ok(changed.includes('  max_concurrent_requests = 4'))
    assert.equal(changed.match(/aws_access_key_id/g)?.length, 1)
  })

  it('get a section that was not there', () => {
    const changed = setInSection(file, 'sluice', { region: 'x' })
    assert.ok(changed.startsWith(file))
    assert.equal(findSection(readIni(changed), 'sluice')?.get('region'), 'x')
    assert.equal(setInSection('', 'sluice', { region: 'x' }), '[sluice]\nregion = x\n')
  })

  it('do not change when the same is written again', () => {
    const once = setInSection(file, 'sluice', { region: 'x', output: 'json' })
    assert.equal(setInSection(once, 'sluice', { region: 'x', output: 'json' }), once)
  })
})
