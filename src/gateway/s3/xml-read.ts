import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { S3Error } from './codes.ts'
import { refuseLong, refuseMarkupWithoutEnd } from './xml-bounds.ts'
import {
  MAX_XML_DEPTH,
  malformed,
  parentElement,
  resolveReferences,
  textElement,
  type XmlElement,
} from './xml-element.ts'
import { scanXml } from './xml-scan.ts'

export { malformed, type XmlElement } from './xml-element.ts'

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  // References are resolved below, once and only the harmless ones: nothing that a document declares itself.
  processEntities: false,
  cdataPropName: '#cdata',
})

type Ordered = { readonly [name: string]: readonly Ordered[] | string }

/**
 * Reads a document with one of the given root elements. Throws S3Error MalformedXML for anything else, and for a DOCTYPE, which is
 * refused before a parser sees it.
 */
export function readXml(bytes: Buffer, ...roots: readonly string[]): XmlElement {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw malformed('it is not UTF-8')
  }
  refuseMarkupWithoutEnd(text)
  const scanned = scanXml(text)
  if (scanned) {
    for (const name of roots) {
      const root = scanned.child(name)
      if (root) return root
    }
    throw wrongRoot(roots)
  }
  refuseLong(text)
  return parseXml(text, roots)
}

/** By the parser for all of XML; `readXml` for what its scanner does not know. */
export function parseXml(text: string, roots: readonly string[]): XmlElement {
  if (/<!(?!--|\[CDATA\[)/.test(text)) throw malformed('a DOCTYPE is not allowed')
  if (XMLValidator.validate(text) !== true) throw malformed('it is not well-formed')
  const top = parse(text).filter((item) => nameOf(item) !== '?xml' && nameOf(item) !== '#text')
  const [root] = top
  if (!root || top.length !== 1 || !roots.includes(nameOf(root))) {
    throw wrongRoot(roots)
  }
  return element(root, 0)
}

function wrongRoot(roots: readonly string[]): S3Error {
  return malformed(`the root element must be ${roots.join(' or ')}`)
}

function parse(text: string): readonly Ordered[] {
  try {
    return parser.parse(text) as readonly Ordered[]
  } catch (error) {
    throw new S3Error('MalformedXML', malformed('it can not be read').message, {}, {}, error)
  }
}

function nameOf(item: Ordered): string {
  for (const name in item) return name
  return ''
}

function element(item: Ordered, depth: number): XmlElement {
  if (depth > MAX_XML_DEPTH) throw malformed('it is nested too deeply')
  const content = item[nameOf(item)]
  const inner = Array.isArray(content) ? (content as readonly Ordered[]) : []
  const byName = new Map<string, XmlElement[]>()
  let text = ''
  for (const child of inner) {
    const name = nameOf(child)
    const value = child[name]
    if (name === '#text') text += typeof value === 'string' ? resolveReferences(value) : ''
    else if (name === '#cdata') text += cdataText(value)
    else {
      const known = byName.get(name)
      const read = element(child, depth + 1)
      if (known) known.push(read)
      else byName.set(name, [read])
    }
  }
  return byName.size > 0 ? parentElement(byName) : textElement(text)
}

function cdataText(value: Ordered[string] | undefined): string {
  if (typeof value === 'string') return value
  return (value ?? []).map((part) => (typeof part['#text'] === 'string' ? part['#text'] : '')).join('')
}
