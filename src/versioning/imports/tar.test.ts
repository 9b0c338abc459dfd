import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidArchive } from '../model/index.ts'
import { paxMember, TAR_END, type TarInput, tarHeader, tarMember, tarOf, withSum } from '../testing/tar.ts'
import { type TarEvent, TarParser } from './tar.ts'

interface Found {
  readonly name: string | undefined
  readonly type: string
  readonly body: string
  readonly mtime: number
  readonly sparse: boolean
}

/** What a parser makes of an archive that comes in pieces of this size. */
function parse(archive: Buffer, pieceBytes = archive.length, wholeBytes = 100): Found[] {
  const parser = new TarParser(wholeBytes)
  const found: Found[] = []
  let open: { readonly event: Extract<TarEvent, { kind: 'begin' }>; readonly pieces: Buffer[] } | undefined
  const add = ({ member }: { member: Found | { name: string | undefined } }, body: Buffer) => {
    const { name, type, mtime, sparse } = member as Found
    found.push({ name, type, body: body.toString('latin1'), mtime, sparse })
  }
  for (let at = 0; at < archive.length; at += pieceBytes) {
    for (const event of parser.push(Buffer.from(archive.subarray(at, at + pieceBytes)))) {
      if (event.kind === 'file') add(event, event.bytes)
      else if (event.kind === 'other') add(event, Buffer.alloc(0))
      else if (event.kind === 'begin') open = { event, pieces: [] }
      else if (event.kind === 'piece') open!.pieces.push(Buffer.from(event.bytes))
      else {
        add(open!.event, Buffer.concat(open!.pieces))
        open = undefined
      }
    }
  }
  parser.end()
  return found
}

const brief = (found: readonly Found[]) => found.map(({ name, body }) => [name, body])
const file = (name: string, body: string, more: Partial<TarInput> = {}): TarInput => ({ name, body, ...more })

describe('TarParser', () => {
  it('reads the same members however the archive is cut into pieces', () => {
    const archive = tarOf(
      file('a', 'one'),
      file('folder/b', 'x'.repeat(513)),
      file('empty', ''),
      paxMember({ path: 'a name that only pax can say'.repeat(10), mtime: '12.5' }),
      file('short', 'pax'),
      file('exact', 'y'.repeat(512)),
    )
    const whole = parse(archive)
    assert.deepEqual(
      whole.map(({ name }) => name?.slice(0, 12)),
      ['a', 'folder/b', 'empty', 'a name that ', 'exact'],
    )
    assert.equal(whole[3]!.mtime, 12.5)
    for (const pieceBytes of [1, 7, 511, 512, 513, 4096]) assert.deepEqual(parse(archive, pieceBytes), whole)
  })

  it('hands files over whole up to a size, and larger ones in pieces, with the same bytes', () => {
    const archive = tarOf(file('a', 'z'.repeat(1500)))
    assert.deepEqual(parse(archive, 600, 100), parse(archive, 600, 10_000))
    assert.equal(parse(archive, 600, 100)[0]!.body, 'z'.repeat(1500))
  })

  it('takes names from the ustar prefix, GNU long names and pax, of which pax wins', () => {
    const long = `long/${'n'.repeat(200)}`
    assert.deepEqual(brief(parse(tarOf(file('b', '1', { prefix: 'a' })))), [['a/b', '1']])
    // What GNU writes in that place is no prefix.
    assert.deepEqual(brief(parse(tarOf(file('b', '1', { prefix: 'a', magic: 'gnu' })))), [['b', '1']])
    const gnu = tarMember({ name: '././@LongLink', type: 'L', body: `${long}\0`, magic: 'gnu' })
    assert.deepEqual(brief(parse(tarOf(gnu, file('cut', '1', { magic: 'gnu' })))), [[long, '1']])
    assert.deepEqual(brief(parse(tarOf(paxMember({ path: 'pax' }), gnu, file('cut', '1')))), [['pax', '1']])
    assert.deepEqual(brief(parse(tarOf(gnu, paxMember({ path: 'pax' }), file('cut', '1')))), [['pax', '1']])
  })

  it('takes sizes from pax and from GNU binary numbers', () => {
    const body = Buffer.alloc(1024, 'q')
    const pax = Buffer.concat([paxMember({ size: '1024' }), tarHeader(file('a', ''), 0), body])
    assert.equal(parse(tarOf(pax))[0]!.body.length, 1024)
    const header = tarHeader(file('a', ''), 0)
    header.fill(0, 124, 136)
    header[124] = 0x80
    header.writeUInt32BE(1024, 132)
    assert.equal(parse(tarOf(withSum(header), body))[0]!.body.length, 1024)
  })

  it('says what is no file, what is stored with holes, and what has a name that is not UTF-8', () => {
    const found = parse(
      tarOf(
        { name: 'folder/', type: '5' },
        { name: 'link', type: '2', linkname: 'target', size: 9 },
        { name: 'hard', type: '1', linkname: 'a', size: 3 },
        paxMember({ 'GNU.sparse.major': '1' }),
        file('holes', 'map'),
        file('after', 'x'),
        { name: Buffer.from([0x66, 0xff]), body: 'x' },
      ),
    )
    assert.deepEqual(
      found.map(({ type, name, sparse }) => [type, name, sparse]),
      [
        ['5', 'folder/', false],
        ['2', 'link', false],
        ['1', 'hard', false],
        ['0', 'holes', true],
        ['0', 'after', false],
        ['0', undefined, false],
      ],
    )
  })

  it('refuses an archive that ends early, wherever that is', () => {
    const archive = tarOf(paxMember({ path: 'b' }), file('a', 'x'.repeat(700)), file('c', 'y'))
    for (const bytes of [0, 1, 511, 512, 600, 1024, 1700, 2048, 2559, 3071, archive.length - 1025]) {
      assert.throws(() => parse(archive.subarray(0, bytes), 512), InvalidArchive, `${bytes} bytes`)
    }
    // One block of the two that end it is enough, as for GNU tar.
    assert.equal(parse(archive.subarray(0, archive.length - 512)).length, 2)
  })

  it('refuses what stands behind the end, and takes zeros there for padding', () => {
    const archive = tarOf(file('a', 'x'))
    assert.equal(parse(Buffer.concat([archive, Buffer.alloc(9 * 512)])).length, 1)
    assert.throws(() => parse(Buffer.concat([archive, Buffer.alloc(17 * 2 ** 20)])), /more than 16777216 zeros/)
    assert.throws(() => parse(Buffer.concat([archive, archive])), /goes on behind its end/)
    assert.throws(() => parse(Buffer.concat([archive, Buffer.from('rest')])), InvalidArchive)
  })

  it('refuses damaged headers and what is no archive at all', () => {
    const archive = tarOf(file('a', 'x'), file('b', 'y'))
    const damaged = Buffer.from(archive)
    damaged[1024 + 10]! ^= 1
    assert.throws(() => parse(damaged), /the block at byte 1024 is not a header/)
    assert.throws(() => parse(Buffer.from('PK'.repeat(1000))), /not a tar archive/)
    const wrongSize = tarHeader(file('a', ''), 0)
    wrongSize.write('00000x00000\0', 124, 'latin1')
    assert.throws(() => parse(tarOf(withSum(wrongSize))), /a number that is none/)
    assert.throws(
      () => parse(tarOf(tarMember({ name: 'pax', type: 'x', body: '99 path=a\n' }), file('a', ''))),
      /extended/,
    )
    assert.throws(() => parse(tarOf(paxMember({ path: 'all' }, 'g'), file('a', ''))), /one path to all/)
    assert.throws(
      () => parse(tarOf(tarMember({ name: 'pax', type: 'x', body: Buffer.alloc(70_000) }), file('a', ''))),
      /takes 70000 bytes/,
    )
  })

  it('takes the comments that git puts before all files', () => {
    assert.deepEqual(brief(parse(tarOf(paxMember({ comment: 'c0ffee' }, 'g'), file('a', 'x')))), [['a', 'x']])
  })

  it('reads archives of before POSIX, whose type and magic are empty', () => {
    const found = parse(tarOf(file('old', 'x', { magic: 'none', type: '\0' }), TAR_END))
    assert.deepEqual(
      found.map(({ type, name }) => [type, name]),
      [['0', 'old']],
    )
  })
})
