import { S3Error } from './codes.ts'

/** Nothing S3 takes is deeper than this. */
export const MAX_XML_DEPTH = 10

/** One element of a document that a client sent: its text if it has no children, else its children in order, by name. */
export interface XmlElement {
  readonly text: string
  children(name: string): readonly XmlElement[]
  /** The only child of that name; MalformedXML if there are several. */
  child(name: string): XmlElement | undefined
}

const noElements: readonly XmlElement[] = []

class TextElement implements XmlElement {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  children(): readonly XmlElement[] {
    return noElements
  }

  child(): undefined {
    return undefined
  }
}

class ParentElement implements XmlElement {
  readonly text = ''
  readonly #byName: ReadonlyMap<string, readonly XmlElement[]>

  constructor(byName: ReadonlyMap<string, readonly XmlElement[]>) {
    this.#byName = byName
  }

  children(name: string): readonly XmlElement[] {
    return this.#byName.get(name) ?? noElements
  }

  child(name: string): XmlElement | undefined {
    const found = this.#byName.get(name)
    if (found && found.length > 1) throw malformed(`${name} is there twice`)
    return found?.[0]
  }
}

/** Of an element that holds nothing but text. */
export const textElement = (text: string): XmlElement => new TextElement(text)

/** Of an element that holds others; at least one. */
export const parentElement = (byName: ReadonlyMap<string, readonly XmlElement[]>): XmlElement =>
  new ParentElement(byName)

const named: Readonly<Record<string, string>> = Object.freeze({
  __proto__: null,
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
} as unknown as Record<string, string>)

/** Once, and only the harmless ones: nothing that a document declares itself. Throws S3Error MalformedXML for any other. */
export function resolveReferences(text: string): string {
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
