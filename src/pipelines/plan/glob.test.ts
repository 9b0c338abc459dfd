import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { InvalidInput } from '../../kernel/index.ts'
import { parseGlob } from './glob.ts'

const keys = ['a.png', 'b.jpg', 'dir/c.png', 'dir/sub/d.png', 'dir2/e.png', 'häß.png', 'x[1].txt']

function matchesOf(pattern: string): Record<string, string> {
  const glob = parseGlob(pattern)
  const found = keys.flatMap((key) => {
    const match = glob.match(key)
    if (match !== undefined) assert.ok(key.startsWith(glob.prefix), `${key} does not begin with ${glob.prefix}`)
    return match === undefined ? [] : [[key, match] as const]
  })
  return Object.fromEntries(found)
}

describe('globs', () => {
  const cases: [string, Record<string, string>][] = [
    ['/', Object.fromEntries(keys.map((key) => [key, '/']))],
    [
      '/*',
      {
        'a.png': '/a.png',
        'b.jpg': '/b.jpg',
        'dir/c.png': '/dir',
        'dir/sub/d.png': '/dir',
        'dir2/e.png': '/dir2',
        'häß.png': '/häß.png',
        'x[1].txt': '/x[1].txt',
      },
    ],
    ['/**', Object.fromEntries(keys.map((key) => [key, `/${key}`]))],
    ['/*.png', { 'a.png': '/a.png', 'häß.png': '/häß.png' }],
    ['*.jpg', { 'b.jpg': '/b.jpg' }],
    ['/dir/*', { 'dir/c.png': '/dir/c.png', 'dir/sub/d.png': '/dir/sub' }],
    ['/dir/', { 'dir/c.png': '/dir', 'dir/sub/d.png': '/dir' }],
    ['/dir', { 'dir/c.png': '/dir', 'dir/sub/d.png': '/dir' }],
    ['/*/*/*', { 'dir/sub/d.png': '/dir/sub/d.png' }],
    ['/?.png', { 'a.png': '/a.png' }],
    ['/h??.png', { 'häß.png': '/häß.png' }],
    ['/[a-b].*', { 'a.png': '/a.png', 'b.jpg': '/b.jpg' }],
    ['/[!a].*', { 'b.jpg': '/b.jpg' }],
    ['/x\\[1\\].txt', { 'x[1].txt': '/x[1].txt' }],
    ['/x[[]1[]].txt', { 'x[1].txt': '/x[1].txt' }],
    ['/{a,b}.*', { 'a.png': '/a.png', 'b.jpg': '/b.jpg' }],
    ['/{a.png,dir/*}', { 'a.png': '/a.png', 'dir/c.png': '/dir/c.png', 'dir/sub/d.png': '/dir/sub' }],
    ['/{b,{a,c}}.{png,jpg}', { 'a.png': '/a.png', 'b.jpg': '/b.jpg' }],
    ['/**/*.png', Object.fromEntries(keys.filter((key) => key.endsWith('.png')).map((key) => [key, `/${key}`]))],
    ['/**.png', Object.fromEntries(keys.filter((key) => key.endsWith('.png')).map((key) => [key, `/${key}`]))],
    ['/dir/**', { 'dir/c.png': '/dir/c.png', 'dir/sub/d.png': '/dir/sub/d.png' }],
    ['/dir/**/**/d.png', { 'dir/sub/d.png': '/dir/sub/d.png' }],
    ['/!(a|dir*).*', { 'b.jpg': '/b.jpg', 'häß.png': '/häß.png', 'x[1].txt': '/x[1].txt' }],
    [
      '/!(*.png)',
      {
        'b.jpg': '/b.jpg',
        'dir/c.png': '/dir',
        'dir/sub/d.png': '/dir',
        'dir2/e.png': '/dir2',
        'x[1].txt': '/x[1].txt',
      },
    ],
    ['/@(a|b).?(p)+(n|j|g|p)', { 'a.png': '/a.png', 'b.jpg': '/b.jpg' }],
    ['/none', {}],
  ]
  for (const [pattern, expected] of cases) {
    it(`${pattern} matches what Pachyderm's would`, () => assert.deepEqual(matchesOf(pattern), expected))
  }

  it('narrows the walk to what a pattern can match', () => {
    assert.equal(parseGlob('/dir/*.png').prefix, 'dir/')
    assert.equal(parseGlob('/dir/{ab,ac}*').prefix, 'dir/a')
    assert.equal(parseGlob('/').prefix, '')
    assert.equal(parseGlob('/a\\*b*').prefix, 'a*b')
  })

  for (const pattern of [
    '',
    '/[a',
    '/[b-a]',
    '/@(a',
    '/a\\',
    '/@(a/b)',
    '/[a/b]',
    '/!(!(!(!(a))))',
    '/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}',
    '/'.padEnd(2000, 'a'),
  ]) {
    it(`refuses ${pattern.slice(0, 30)} and says why`, () => assert.throws(() => parseGlob(pattern), InvalidInput))
  }

  it('gives a path up that takes too long, and says so', () => {
    const path = 'a'.repeat(1020)
    const many = `/${'{a,?}'.repeat(8)}${'*a'.repeat(50)}b`
    for (const pattern of [`/${'*a'.repeat(500)}b`, '/!(*(a)*b)!(*(a)*b)!(*(a)*b)!(*(a)*b)c', many]) {
      assert.throws(() => parseGlob(pattern).match(path), { name: 'InvalidInput', message: /takes too long/ })
    }
    for (const pattern of ['/**/*.@(txt|jpg)', '/**!(*.png)', '/**/*a*a*a*a*a*', '/**/[!b]*/**/?*(a)*']) {
      assert.notEqual(parseGlob(pattern).match(`${'a/'.repeat(200)}aaaaaa.txt`), undefined, pattern)
    }
  })

  it('does not choke on a pattern made to be slow', () => {
    const glob = parseGlob(`/${'*a'.repeat(40)}*(*(a|aa)|!(b|*c))*x`)
    assert.equal(glob.match('a'.repeat(250)), undefined)
  })

  it('agrees with a naive matcher on patterns of *, ? and letters', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 8 }).map((parts) => parts.join(''))
    const patterns = fc
      .array(fc.constantFrom('a', 'b', '/', '*', '?'), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(patterns, letters, (pattern, text) => {
        fc.pre(!/\*\*|\/$|\/\//.test(pattern) && !/\/\/|^\/|\/$/.test(text) && text !== '')
        const rooted = pattern.startsWith('/') ? pattern : `/${pattern}`
        fc.pre(rooted !== '/')
        const depth = rooted.split('/').length
        const candidate = `/${text}`.split('/').slice(0, depth).join('/')
        const regex = new RegExp(`^${rooted.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`)
        assert.equal(parseGlob(pattern).match(text), regex.test(candidate) ? candidate : undefined)
      }),
      { numRuns: 2000 },
    )
  })
})
