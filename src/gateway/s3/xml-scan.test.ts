import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { escapeXml } from './xml.ts'
import type { XmlElement } from './xml-element.ts'
import { parseXml, readXml } from './xml-read.ts'
import { scanXml } from './xml-scan.ts'

const names = ['Delete', 'Object', 'Key', 'Quiet'] as const

/** All that can be asked of an element, as plain data. */
function plain(element: XmlElement): unknown {
  const children = names.map((name) => element.children(name).map(plain))
  return children.some((list) => list.length > 0) ? children : element.text
}

/** Documents as clients send them, and such as nobody should. */
const piece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('<Object>', '</Object>', '<Key>', '</Key>', 'a/b c', '&amp;', '&#65;', '\n', '  '),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '<Quiet/>',
      '<!-- x -->',
      '<![CDATA[x]]>',
      ']]>',
      '&',
      '&nbsp;',
      '&#xD800;',
      '&#0;',
      '<?x?>',
      '<',
      '>',
      '"',
      '\r\n',
      '<s3:Key>',
      '<Key a="b">',
      '<Key >',
      '</Key >',
      '😀',
      '\u0001',
      '\ufffe',
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 4 }) },
)
const root = fc.constantFrom(
  '<Delete>',
  '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
  '<?xml version="1.0" encoding="UTF-8"?>\n<Delete>',
  "<?xml version='1.0'?><Delete>",
)

describe('the scanner of ordinary XML', () => {
  it('reads what clients send, and gives all else to the parser', () => {
    const sent =
      '<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n' +
      ' <Object><Key>a&amp;b &#233;</Key></Object>\n <Object><Key> x\n</Key></Object><Quiet>true</Quiet>\n</Delete>\n'
    const read = scanXml(sent)?.child('Delete')
    assert.deepEqual(
      read?.children('Object').map((object) => object.child('Key')?.text),
      ['a&b é', ' x\n'],
    )
    assert.equal(read?.child('Quiet')?.text, 'true')
    for (const odd of [
      '<Delete><!-- --><Quiet>true</Quiet></Delete>',
      '<Delete><Key><![CDATA[a]]></Key></Delete>',
      '<s:Delete xmlns:s="x"></s:Delete>',
      '<Delete a="b"></Delete>',
      '<Delete>a<Key>b</Key></Delete>',
      '<!DOCTYPE a><Delete></Delete>',
      '<Delete></Delete><Delete></Delete>',
      '<Delete>&x;</Delete>',
      '<Delete><Key></Delete></Key>',
      '<Delete>',
    ])
      assert.equal(scanXml(odd), undefined, odd)
  })

  it('sees the same as the parser wherever it sees anything', () => {
    let scanned = 0
    fc.assert(
      fc.property(root, fc.array(piece, { maxLength: 10 }), (begin, pieces) => {
        const text = `${begin}${pieces.join('')}</Delete>`
        let fast: XmlElement | undefined
        try {
          fast = scanXml(text)
        } catch {
          // A reference to no character: the parser has to refuse it too.
          assert.throws(() => parseXml(text, ['Delete']), { code: 'MalformedXML' })
          return
        }
        if (!fast) return
        scanned++
        assert.deepEqual(plain(fast.child('Delete')!), plain(parseXml(text, ['Delete'])), JSON.stringify(text))
      }),
      { numRuns: 5_000 },
    )
    assert.ok(scanned > 500, `only ${scanned} were ordinary`)
  })

  it('gives every key back that can be written', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', minLength: 1 }), { minLength: 1, maxLength: 20 }), (keys) => {
        // XML has no form for these; what we write for them a strict reader refuses.
        // biome-ignore lint/suspicious/noControlCharactersInRegex: as it says
        const possible = keys.filter((key) => !/[\x00-\x1f\x7f-\x9f\ufffe\uffff]/.test(key) && key.isWellFormed())
        const text = `<Delete>${possible.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('')}<Quiet>true</Quiet></Delete>`
        const read = readXml(Buffer.from(text), 'Delete').children('Object')
        assert.deepEqual(
          read.map((object) => object.child('Key')?.text),
          possible,
        )
      }),
    )
  })
})
