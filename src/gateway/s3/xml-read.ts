import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { S3Error } from './codes.ts'

/** Nothing S3 takes is deeper than this. */
const MAX_DEPTH = 10

/** One element of a document that a client sent: its text if it has no children, else its children in order, by name. */
export interface XmlElement {
  readonly text: string
  children(name: string): readonly XmlElement[]
  /** The only child of that name; MalformedXML if there are several. */
  child(name: string): XmlElement | undefined
}

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
  if (/<!(?!--|\[CDATA\[)/.test(text)) throw malformed('a DOCTYPE is not allowed')
  if (XMLValidator.validate(text) !== true) throw malformed('it is not well-formed')
  const top = parse(text).filter((item) => nameOf(item) !== '?xml' && nameOf(item) !== '#text')
  const [root] = top
  if (!root || top.length !== 1 || !roots.includes(nameOf(root))) {
    throw malformed(`the root element must be ${roots.join(' or ')}`)
  }
  return element(root, 0)
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
  if (depth > MAX_DEPTH) throw malformed('it is nested too deeply')
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
  return {
    text: byName.size > 0 ? '' : text,
    children: (name) => byName.get(name) ?? [],
    child: (name) => {
      const found = byName.get(name)
      if (found && found.length > 1) throw malformed(`${name} is there twice`)
      return found?.[0]
    },
  }
}

function cdataText(value: Ordered[string] | undefined): string {
  if (typeof value === 'string') return value
  return (value ?? []).map((part) => (typeof part['#text'] === 'string' ? part['#text'] : '')).join('')
}

const named: Readonly<Record<string, string>> = Object.freeze({
  __proto__: null,
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
} as unknown as Record<string, string>)

function resolveReferences(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(/&([^;&]{0,10};?)/g, (_whole, body: string) => {
    const name = body.endsWith(';') ? body.slice(0, -1) : undefined
    if (name === undefined) throw malformed('an & that begins no reference')
    const numeric = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name)
    if (!numeric) {
      const value = named[name]
      if (value === undefined) throw malformed('an unknown entity')
      return value
    }
    const code = numeric[1] === undefined ? Number(numeric[2]) : Number.parseInt(numeric[1], 16)
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw malformed('a reference to no character')
    return String.fromCodePoint(code)
  })
}

export function malformed(why: string): S3Error {
  return new S3Error(
    'MalformedXML',
    `The XML you provided was not well-formed or did not validate against our published schema: ${why}`,
  )
}
