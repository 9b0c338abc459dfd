import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { document, escapeXml, leaf } from './xml.ts'
import { readXml } from './xml-read.ts'

const read = (text: string, ...roots: string[]) => readXml(Buffer.from(text), ...(roots.length > 0 ? roots : ['A']))

describe('a document that is sent', () => {
  it('keeps every character that a key can hold, and none of them as markup', () => {
    assert.equal(escapeXml('plain/Key-1_ü€😀.txt'), 'plain/Key-1_ü€😀.txt')
    assert.equal(escapeXml(`<a b="c">&'</a>`), '&lt;a b=&quot;c&quot;&gt;&amp;&apos;&lt;/a&gt;')
    assert.equal(escapeXml('a\r\n\tb'), 'a&#xD;&#xA;&#x9;b')
    assert.equal(escapeXml('\u0001\u007f\u0085\u2028\ufffe\uffff'), '&#x1;&#x7F;&#x85;&#x2028;&#xFFFE;&#xFFFF;')
  })

  it('is read back as it was written, for any key', () => {
    const key = fc.string({ unit: 'binary', maxLength: 40 }).filter((s) => s.isWellFormed())
    fc.assert(
      fc.property(key, (text) => {
        const written = document('A', leaf('Key', text))
        assert.equal(read(written).child('Key')?.text, text)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that there is none is the promise
        assert.doesNotMatch(written, /[\x00-\x08\x0b\x0c\x0e-\x1f]/)
      }),
    )
  })

  it('leaves out what is undefined', () => {
    assert.equal(leaf('A', undefined) + leaf('B', 0) + leaf('C', false) + leaf('D', ''), '<B>0</B><C>false</C><D></D>')
  })
})

describe('a document that is received', () => {
  it('is read with or without declaration, namespace and prefix, spaces and comments', () => {
    for (const text of [
      '<A><B>x</B></A>',
      '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n <B>x</B>\n</A>\n',
      '<s3:A xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><!-- hello --><s3:B>x</s3:B></s3:A>',
      '<A><B><![CDATA[x]]></B></A>',
    ]) {
      assert.equal(read(text).child('B')?.text, 'x', text)
    }
  })

  it('is refused where it is made of more markup than any request needs: reading it would keep everybody waiting', () => {
    const malformed = { code: 'MalformedXML' }
    const filler = 'x'.repeat(70_000)
    for (const inner of [
      '<B/>'.repeat(200_000),
      '<B></B>'.repeat(100_001),
      `<B b="${filler}"/>`,
      '<B bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb="c"/>'.repeat(2000),
      `<!--${filler}--><B/>`,
      `<B ${'b '.repeat(40_000)}`,
      `${'<'.repeat(70_000)}B/>`,
      `<B><![CDATA[${filler}</B>`,
      `<B><![CDATA[x]]></B>${' '.repeat(4 * 1024 * 1024)}`,
    ]) {
      assert.throws(() => read(`<A>${inner}</A>`), malformed, inner.slice(0, 80))
    }
    // The largest of those that clients send: 10,000 parts with all that can be said of each, and 1,000 keys.
    const said = ['ETag', 'ChecksumCRC32', 'ChecksumCRC32C', 'ChecksumSHA256'].map((name) => `<${name}>x</${name}>`)
    const part = `<Part>\r\n<PartNumber>1</PartNumber>${said.join('')}</Part>`
    assert.equal(read(`<A>${part.repeat(10_000)}</A>`).children('Part').length, 10_000)
    const object = `<Object><Key><![CDATA[${'<'.repeat(1000)}]]></Key><VersionId>null</VersionId></Object>`
    assert.equal(
      read(`<A>${object.repeat(1000)}</A>`)
        .children('Object')[999]
        ?.child('Key')?.text.length,
      1000,
    )
  })

  it('keeps spaces and the order of elements', () => {
    assert.equal(read('<A><B> a  b\n</B></A>').child('B')?.text, ' a  b\n')
    assert.deepEqual(
      read('<A><B>1</B><C/><B>2</B></A>')
        .children('B')
        .map(({ text }) => text),
      ['1', '2'],
    )
    assert.equal(read('<A><B/></A>').child('B')?.text, '')
  })

  it('has the five entities and references to characters, and no others', () => {
    assert.equal(read('<A>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;&#x1;&amp;lt;</A>').text, `<>&"'A😀\u0001&lt;`)
    for (const text of [
      '&nbsp;',
      '&a;',
      '&#xD800;',
      '&#x110000;',
      '&',
      '&#;',
      '&__proto__;',
      '&constructor;',
      '&toString;',
    ]) {
      assert.throws(() => read(`<A>${text}</A>`), { code: 'MalformedXML' }, text)
    }
  })

  it('is refused with a DOCTYPE or an entity of its own, before a parser sees it', () => {
    for (const text of [
      '<!DOCTYPE a [<!ENTITY x "y">]><A>&x;</A>',
      '<!doctype a><A/>',
      '<A><!ENTITY x "y"></A>',
      '<!DOCTYPE a SYSTEM "file:///etc/passwd"><A/>',
    ]) {
      assert.throws(() => read(text), { code: 'MalformedXML', message: /DOCTYPE/ }, text)
    }
  })

  it('is refused when it is not well-formed, has another root, or is no UTF-8', () => {
    for (const text of ['', 'x', '<A>', '<A></B>', '<B></B>', '<A/><A/>', '<A a=></A>', '<A><B></A></B>']) {
      assert.throws(() => read(text), { code: 'MalformedXML' }, text)
    }
    assert.throws(() => readXml(Buffer.from([0x3c, 0x41, 0x3e, 0xff, 0x3c, 0x2f, 0x41, 0x3e]), 'A'), {
      code: 'MalformedXML',
    })
  })

  it('is refused when it is nested without end or would change an object of ours', () => {
    for (const depth of [20, 5000]) {
      const nested = `<A>${'<B>'.repeat(depth)}${'</B>'.repeat(depth)}</A>`
      assert.throws(() => read(nested), { code: 'MalformedXML' }, String(depth))
    }
    assert.throws(() => read('<A><__proto__><x>1</x></__proto__></A>'), { code: 'MalformedXML' })
    assert.equal(read('<A><Key>__proto__</Key></A>').child('Key')?.text, '__proto__')
    assert.equal(read('<A><Key>x</Key></A>').child('__proto__'), undefined)
    assert.equal(({} as Record<string, unknown>)['x'], undefined)
  })

  it('of a megabyte of references takes no longer than its length', () => {
    assert.equal(read(`<A>${'&#65;'.repeat(200_000)}</A>`).text.length, 200_000)
  })

  it('never makes the reader throw anything but MalformedXML', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '<A>',
        '</A>',
        '<B>',
        '</B>',
        '<B/>',
        '&amp;',
        '<![CDATA[',
        ']]>',
        '<!--',
        '-->',
        '<?',
        '?>',
        '"',
        'xmlns:a="b"',
      ),
      fc.string({ maxLength: 5 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          read(`<A>${pieces.join('')}</A>`)
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, 'MalformedXML', String(error))
        }
      }),
    )
  })
})
