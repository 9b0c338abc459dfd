import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ago, between, details, humanDuration, humanSize, parseDuration, shellWord, shorten, table } from './format.ts'

describe('humanDuration', () => {
  const second = 1000
  const hour = 3600 * second
  const cases: [number, string][] = [
    [0, 'Less than a second'],
    [999, 'Less than a second'],
    [1000, '1 seconds'],
    [59_999, '59 seconds'],
    [60_000, 'About a minute'],
    [119_999, 'About a minute'],
    [120_000, '2 minutes'],
    [59 * 60_000 + 59_000, '59 minutes'],
    [hour, 'About an hour'],
    [1.6 * hour, '2 hours'],
    [47 * hour, '47 hours'],
    [48 * hour, '2 days'],
    [14 * 24 * hour, '2 weeks'],
    [61 * 24 * hour, '2 months'],
    [800 * 24 * hour, '2 years'],
  ]
  for (const [ms, words] of cases) {
    it(`says ${words} for ${ms} ms`, () => assert.equal(humanDuration(ms), words))
  }

  it('shows no negative time when clocks differ', () => {
    assert.equal(ago('2026-01-01T00:00:10.000Z', Date.parse('2026-01-01T00:00:00.000Z')), 'Less than a second ago')
    assert.equal(between('2026-01-01T00:00:10.000Z', '2026-01-01T00:00:00.000Z', 0), 'Less than a second')
  })
})

describe('humanSize', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [954_573, '932.2 KiB'],
    [58_644, '57.27 KiB'],
    [22_753, '22.22 KiB'],
    [5 * 1024 ** 3, '5 GiB'],
  ]
  for (const [bytes, words] of cases)
    it(`says ${words} for ${bytes} bytes`, () => assert.equal(humanSize(bytes), words))
})

describe('table', () => {
  it('has the wide fixed columns of a commit list', () => {
    const id = 'c721c4bb9a8046f3a7319ed97d256bb9'
    const parent = 'a9678d2a439648c59636688945f3c6b5'
    const head = ['REPO', 'ID', 'PARENT', 'STARTED', 'DURATION', 'SIZE']
    const text = table(head, [
      ['images', id, parent, 'About a minute ago', '1 seconds', '932.2 KiB'],
      ['images', parent, '<none>', '10 minutes ago', 'Less than a second', '57.27 KiB'],
    ])
    assert.equal(
      text,
      [
        'REPO                ID                                 PARENT                             STARTED              DURATION             SIZE',
        `images              ${id}   ${parent}   About a minute ago   1 seconds            932.2 KiB`,
        `images              ${parent}   <none>                             10 minutes ago       Less than a second   57.27 KiB`,
        '',
      ].join('\n'),
    )
  })

  it('shows control characters instead of sending them to the terminal', () => {
    assert.match(table(['NAME'], [['a\x1b[2Jb\n']]), /a\\x1b\[2Jb\\x0a/)
    assert.equal(details([['Reason', 'a\x1b[2J\x9bb\nc']]), 'Reason: a\\x1b[2J\\x9bb\nc\n')
  })

  it('keeps details in one column', () => {
    assert.equal(
      details([
        ['Name', 'a'],
        ['Created', ''],
      ]),
      'Name:    a\nCreated:\n',
    )
  })
})

describe('parseDuration', () => {
  it('reads bare seconds and units, alone and together', () => {
    assert.equal(parseDuration('90'), 90_000)
    assert.equal(parseDuration('1m30s'), 90_000)
    assert.equal(parseDuration('250ms'), 250)
    assert.equal(parseDuration('1.5h'), 5_400_000)
  })

  it('refuses everything else', () => {
    for (const text of ['', 'soon', '-1', '10 m', '1y', 'm']) assert.equal(parseDuration(text), undefined, text)
  })
})

describe('shellWord', () => {
  it('leaves plain words and quotes the others so that a shell gives them back', () => {
    assert.equal(shellWord('http://127.0.0.1:30600'), 'http://127.0.0.1:30600')
    assert.equal(shellWord(`a'b $(x)`), `'a'\\''b $(x)'`)
    assert.equal(shellWord(''), "''")
  })
})

it('shorten keeps the first line and says that there was more', () => {
  assert.equal(shorten('abc\ndef', 10), 'abc')
  assert.equal(shorten('abcdef', 4), 'abc…')
})
