import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { collectOutput } from './collect.ts'
import { DatumFailure } from './failure.ts'

let datum = ''
const out = (...path: string[]) => join(datum, 'pfs', 'out', ...path)

beforeEach(() => {
  datum = mkdtempSync(join(tmpdir(), 'sluice-collect-'))
  mkdirSync(out(), { recursive: true })
  mkdirSync(join(datum, 'pfs', 'in', 'dir'), { recursive: true })
  writeFileSync(join(datum, 'pfs', 'in', 'a.png'), 'input')
})
afterEach(() => rmSync(datum, { recursive: true, force: true }))

const paths = async () =>
  (await collectOutput(datum, '/pfs')).map(({ path, diskPath }) => [path, diskPath.slice(datum.length)])

describe('collecting results', () => {
  it('finds files in folders, and takes empty folders for nothing', async () => {
    mkdirSync(out('x', 'y'), { recursive: true })
    mkdirSync(out('empty'))
    writeFileSync(out('x', 'y', 'ä.txt'), '1')
    writeFileSync(out('top'), '2')
    linkSync(out('top'), out('hard'))
    assert.deepEqual((await paths()).sort(), [
      ['hard', '/pfs/out/hard'],
      ['top', '/pfs/out/top'],
      ['x/y/ä.txt', '/pfs/out/x/y/ä.txt'],
    ])
  })

  it('follows links to files inside /pfs, over folders that are links too', async () => {
    mkdirSync(out('real'))
    writeFileSync(out('real', 'f'), 'x')
    symlinkSync('real/f', out('relative'))
    symlinkSync('/pfs/in/a.png', out('absolute'))
    symlinkSync('../in/a.png', out('up'))
    symlinkSync('relative', out('twice'))
    const found = new Map((await paths()) as [string, string][])
    assert.equal(found.get('relative'), '/pfs/out/real/f')
    assert.equal(found.get('twice'), '/pfs/out/real/f')
    assert.equal(found.get('absolute'), '/pfs/in/a.png')
    assert.equal(found.get('up'), '/pfs/in/a.png')
  })

  const refusals: [string, () => void, RegExp][] = [
    [
      'a link out of /pfs',
      () => symlinkSync('/etc/passwd', out('l')),
      /\/pfs\/out\/l .*leads out of \/pfs, to \/etc\/passwd/,
    ],
    ['a relative link out of /pfs', () => symlinkSync('../../../../../etc/passwd', out('l')), /out\/l .*out of \/pfs/],
    ['a link that leaves by way of /pfs', () => symlinkSync('/pfs/../etc/passwd', out('l')), /out\/l .*out of \/pfs/],
    [
      'a link to a link that leaves',
      () => [symlinkSync('/etc', out('d')), symlinkSync('d/passwd', out('l'))],
      /leads out of \/pfs/,
    ],
    ['a link to nothing', () => symlinkSync('gone', out('l')), /out\/l .*link to nothing/],
    ['a link to a folder', () => symlinkSync('/pfs/in/dir', out('l')), /out\/l .*not a file/],
    ['a link to itself', () => symlinkSync('l', out('l')), /circle/],
    ['a pipe', () => execFileSync('mkfifo', [out('p')]), /out\/p .*pipe/],
    ['the reserved folder', () => [mkdirSync(out('.sluice')), writeFileSync(out('.sluice', 'x'), '')], /reserved/],
    [
      'a name that is not UTF-8',
      () => writeFileSync(Buffer.concat([Buffer.from(`${out()}/`), Buffer.from([0xff])]), ''),
      /not UTF-8/,
    ],
    [
      'a path of more than 1,024 bytes',
      () => {
        const names = Array.from({ length: 5 }, () => 'n'.repeat(250))
        mkdirSync(out(...names), { recursive: true })
        writeFileSync(out(...names, 'f'), '')
      },
      /1024 bytes/,
    ],
  ]
  for (const [what, make, pattern] of refusals) {
    it(`refuses ${what} by name`, async () => {
      make()
      await assert.rejects(
        collectOutput(datum, '/pfs'),
        (error) => error instanceof DatumFailure && pattern.test(error.message),
      )
    })
  }
})
