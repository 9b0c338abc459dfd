import { InvalidInput } from '../../kernel/index.ts'
import { Effort, type Subject } from './subject.ts'

/**
 * Pachyderm's globs over the files of a commit. A pattern is matched against whole paths with a leading `/`:
 *
 * - `/` is one match that holds everything;
 * - `*` is any run of characters but `/`, `?` is one, `[a-z]` and `[!a-z]` are sets;
 * - `**` is any run of characters, `/` too; as a whole segment it may also stand for no segment at all;
 * - `{a,b}` is either; `@(a|b)` one of, `?(a|b)` at most one of, `*(a|b)` any number of, `+(a|b)` at least one of,
 *   `!(a|b)` anything that is none of them; `\` takes the next character as it is.
 *
 * A pattern without `**` also matches folders: everything below a folder is then one match. With `**` it matches files.
 */
export interface Glob {
  readonly pattern: string
  /** Every key that can be part of a match begins with it. */
  readonly prefix: string
  /** The path that a key (without leading `/`) belongs to by this glob (`/dir` for `dir/a.png` by `/*`), or undefined. */
  match(key: string): string | undefined
}

/** Long enough for any path; matching costs pattern length × path length. */
const MAX_PATTERN = 1_024
const MAX_ALTERNATIVES = 256
const MAX_GROUP_DEPTH = 3
/** A group may be walked once for each place it can begin at: this bounds the cube of it. */
const MAX_GROUPS = 8

type Element =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'set'; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] }
  | { readonly kind: 'run' }
  | { readonly kind: 'anything' }
  /** `**` as a segment of its own, with the slashes on both its sides. */
  | { readonly kind: 'folders' }
  | { readonly kind: 'group'; readonly sign: GroupSign; readonly options: readonly (readonly Element[])[] }

type GroupSign = '@' | '?' | '*' | '+' | '!'

interface Alternative {
  readonly elements: readonly Element[]
  /** How many segments a match has; undefined where `**` leaves it open. */
  readonly depth: number | undefined
}

/** Throws InvalidInput that says what is wrong with the pattern. */
export function parseGlob(pattern: string): Glob {
  if (pattern === '')
    throw new InvalidInput(
      'a glob must not be empty: "/" is everything as one datum, "/*" one for each top-level entry',
    )
  if (pattern.length > MAX_PATTERN) throw new InvalidInput(`a glob has at most ${MAX_PATTERN} characters`)
  const rooted = pattern.startsWith('/') ? pattern : `/${pattern}`
  const alternatives = expandBraces(rooted).map(compile)
  const prefixes = alternatives.map(literalPrefix)
  const prefix = prefixes.reduce(commonPrefix)
  return { pattern: rooted, prefix, match: (key) => matchAny(alternatives, `/${key}`) }
}

function matchAny(alternatives: readonly Alternative[], path: string): string | undefined {
  const effort = new Effort(path)
  for (const { elements, depth } of alternatives) {
    if (depth === 0) return '/'
    const candidate = depth === undefined ? path : leadingSegments(path, depth)
    if (candidate !== undefined && matches(elements, candidate, effort)) return candidate
  }
  return undefined
}

function leadingSegments(path: string, depth: number): string | undefined {
  let at = 0
  for (let i = 0; i < depth; i++) {
    if (at >= path.length) return undefined
    const next = path.indexOf('/', at + 1)
    at = next === -1 ? path.length : next
  }
  return path.slice(0, at)
}

function compile(pattern: string): Alternative {
  const trimmed = pattern.replace(/(?<!\\)\/+$/, '').replace(/(?:\/\*\*)+\//g, '/**/')
  if (trimmed === '') return { elements: [], depth: 0 }
  let groups = 0
  const parser = new PatternParser(trimmed, () => {
    if (++groups > MAX_GROUPS) throw new InvalidInput(`the glob ${pattern} has more than ${MAX_GROUPS} groups`)
  })
  const elements = parser.parse()
  const open = elements.some((element) => element.kind === 'anything' || element.kind === 'folders')
  const depth = elements.reduce(
    (sum, element) => sum + (element.kind === 'text' ? element.text.split('/').length - 1 : 0),
    0,
  )
  return { elements, depth: open ? undefined : depth }
}

class PatternParser {
  readonly #pattern: string
  readonly #onGroup: () => void
  #at = 0

  constructor(pattern: string, onGroup: () => void) {
    this.#pattern = pattern
    this.#onGroup = onGroup
  }

  parse(): readonly Element[] {
    return this.#sequence(0)
  }

  #sequence(depth: number): readonly Element[] {
    const elements: Element[] = []
    let text = ''
    const flush = () => {
      if (text) elements.push({ kind: 'text', text })
      text = ''
    }
    while (this.#at < this.#pattern.length) {
      const rest = this.#pattern.slice(this.#at, this.#at + 4)
      const char = rest[0]!
      if (depth > 0 && (char === '|' || char === ')')) break
      if (depth > 0 && char === '/') throw this.#wrong('a group may not hold a /')
      if ('@?*+!'.includes(char) && rest[1] === '(') {
        flush()
        elements.push(this.#group(char as GroupSign, depth + 1))
      } else if (rest === '/**/') {
        flush()
        elements.push({ kind: 'folders' })
        this.#at += 4
      } else if (char === '*') {
        flush()
        const stars = /^\*+(?!\()/.exec(this.#pattern.slice(this.#at))?.[0].length ?? 1
        const many = stars > 1 && depth === 0
        const last = elements.at(-1)?.kind
        if (last !== 'anything' && !(last === 'run' && !many)) elements.push({ kind: many ? 'anything' : 'run' })
        this.#at += stars
      } else if (char === '?') {
        flush()
        elements.push({ kind: 'one' })
        this.#at++
      } else if (char === '[') {
        flush()
        elements.push(this.#set())
      } else if (char === '\\') {
        if (rest[1] === undefined) throw this.#wrong('it ends with a \\')
        text += String.fromCodePoint(this.#pattern.codePointAt(this.#at + 1)!)
        this.#at += 1 + charLength(this.#pattern, this.#at + 1)
      } else {
        text += char
        this.#at++
      }
    }
    flush()
    return elements
  }

  #group(sign: GroupSign, depth: number): Element {
    if (depth > MAX_GROUP_DEPTH) throw this.#wrong(`groups are nested more than ${MAX_GROUP_DEPTH} deep`)
    this.#onGroup()
    this.#at += 2
    const options: (readonly Element[])[] = []
    for (;;) {
      options.push(this.#sequence(depth))
      const char = this.#pattern[this.#at]
      if (char === undefined) throw this.#wrong('a ( is not closed')
      this.#at++
      if (char === ')') return { kind: 'group', sign, options }
    }
  }

  #set(): Element {
    const start = this.#at++
    const negated = this.#pattern[this.#at] === '!' || this.#pattern[this.#at] === '^'
    if (negated) this.#at++
    const ranges: (readonly [string, string])[] = []
    for (let first = true; ; first = false) {
      if (this.#pattern[this.#at] === undefined) throw this.#wrong(`the [ at ${start} is not closed`)
      if (this.#pattern[this.#at] === ']' && !first) break
      const low = this.#setChar()
      let high = low
      if (
        this.#pattern[this.#at] === '-' &&
        this.#pattern[this.#at + 1] !== ']' &&
        this.#pattern[this.#at + 1] !== undefined
      ) {
        this.#at++
        high = this.#setChar()
      }
      if (low.codePointAt(0)! > high.codePointAt(0)!)
        throw this.#wrong(`the range ${low}-${high} is the wrong way round`)
      ranges.push([low, high])
    }
    this.#at++
    return { kind: 'set', negated, ranges }
  }

  #setChar(): string {
    if (this.#pattern[this.#at] === '\\') this.#at++
    const code = this.#pattern.codePointAt(this.#at)
    if (code === undefined) throw this.#wrong('a [ is not closed')
    const char = String.fromCodePoint(code)
    if (char === '/') throw this.#wrong('a set may not hold a /')
    this.#at += char.length
    return char
  }

  #wrong(what: string): InvalidInput {
    return new InvalidInput(`the glob ${this.#pattern} can't be read: ${what}`)
  }
}

/**
 * Follows all ways through the pattern at once, as a set of places in the path, so that no pattern can make it try them one by one.
 */
function matches(elements: readonly Element[], path: string, effort: Effort): boolean {
  const [first, second] = elements
  if (first?.kind === 'text' && !path.startsWith(first.text)) return false
  // The common `/dir/*` and `/dir/**`, without sets of places.
  if (first?.kind === 'text' && elements.length === 2 && (second?.kind === 'anything' || second?.kind === 'run')) {
    return second.kind === 'anything' || !path.includes('/', first.text.length)
  }
  return advance(elements, { path, effort }, new Set([0])).has(path.length)
}

type Places = ReadonlySet<number>

function advance(elements: readonly Element[], subject: Subject, from: Places): Places {
  let places = from
  for (const element of elements) {
    if (places.size === 0) return places
    places = step(element, subject, places)
  }
  return places
}

function step(element: Element, subject: Subject, from: Places): Places {
  const { path } = subject
  subject.effort.spend(from.size)
  const to = new Set<number>()
  switch (element.kind) {
    case 'text':
      for (const at of from) if (path.startsWith(element.text, at)) to.add(at + element.text.length)
      return to
    case 'one':
      for (const at of from) if (at < path.length && path[at] !== '/') to.add(at + charLength(path, at))
      return to
    case 'set':
      for (const at of from) if (inSet(element, path, at)) to.add(at + charLength(path, at))
      return to
    case 'run':
      return spread(subject, from, true)
    case 'anything':
      return spread(subject, from, false)
    case 'folders': {
      for (const at of from) if (path[at] === '/') to.add(at + 1)
      if (to.size === 0) return to
      for (let at = Math.min(...to); at < path.length; at++) if (path[at] === '/') to.add(at + 1)
      return to
    }
    case 'group':
      return stepGroup(element.sign, element.options, subject, from)
  }
}

/** Every place that a run of characters can end at, in one pass over the path. */
function spread(subject: Subject, from: Places, withinSegment: boolean): Places {
  const { path } = subject
  const to = new Set<number>()
  let running = false
  let begun = 0
  for (let at = Math.min(...from); at <= path.length; at++) {
    if (from.has(at)) {
      running = true
      begun++
    }
    if (running) to.add(at)
    if (withinSegment && path[at] === '/') running = false
    if (!running && begun === from.size) break
  }
  subject.effort.spend(to.size)
  return to
}

function stepGroup(sign: GroupSign, options: readonly (readonly Element[])[], subject: Subject, from: Places): Places {
  const once = (places: Places): Places => {
    const to = new Set<number>()
    for (const option of options) for (const at of advance(option, subject, places)) to.add(at)
    return to
  }
  if (sign === '@') return once(from)
  if (sign === '?') return union(from, once(from))
  if (sign === '!') {
    const to = new Set<number>()
    for (const at of from) {
      const taken = once(new Set([at]))
      for (const end of spread(subject, new Set([at]), true)) if (!taken.has(end)) to.add(end)
    }
    return to
  }
  const all = new Set(sign === '*' ? from : [])
  for (let next: Places = once(from); ; ) {
    const fresh = new Set([...next].filter((at) => !all.has(at)))
    if (fresh.size === 0) return all
    for (const at of fresh) all.add(at)
    next = once(fresh)
  }
}

function union(a: Places, b: Places): Places {
  return new Set([...a, ...b])
}

function inSet(element: Extract<Element, { kind: 'set' }>, path: string, at: number): boolean {
  const code = path.codePointAt(at)
  if (code === undefined || path[at] === '/') return false
  const inside = element.ranges.some(([low, high]) => code >= low.codePointAt(0)! && code <= high.codePointAt(0)!)
  return inside !== element.negated
}

function charLength(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
}

/** What every match begins with, as a prefix of keys (without the leading `/`). */
function literalPrefix({ elements, depth }: Alternative): string {
  if (depth === 0) return ''
  const first = elements[0]
  return first?.kind === 'text' ? first.text.slice(1) : ''
}

function commonPrefix(a: string, b: string): string {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  // Half a surrogate pair is no prefix of any key.
  return /[\uD800-\uDBFF]$/.test(a.slice(0, length)) ? a.slice(0, length - 1) : a.slice(0, length)
}

/** `/{a,b}/*` → `/a/*`, `/b/*`. Escapes and sets are passed over; a brace without a comma stands for itself. */
function expandBraces(pattern: string): readonly string[] {
  const done: string[] = []
  const open = [pattern]
  while (open.length > 0) {
    const next = open.pop()!
    const brace = findBrace(next)
    if (!brace) done.push(next)
    else
      for (const option of brace.options.toReversed())
        open.push(next.slice(0, brace.start) + option + next.slice(brace.end))
    if (done.length + open.length > MAX_ALTERNATIVES || next.length > 2 * MAX_PATTERN) {
      throw new InvalidInput(`the glob ${pattern.slice(0, 200)} has more than ${MAX_ALTERNATIVES} alternatives`)
    }
  }
  return done
}

function findBrace(pattern: string): { start: number; end: number; options: readonly string[] } | undefined {
  for (let start = 0; start < pattern.length; start++) {
    if (pattern[start] === '\\') start++
    else if (pattern[start] === '[') start = skipSet(pattern, start)
    else if (pattern[start] === '{') {
      const found = readBrace(pattern, start)
      if (found) return found
    }
  }
  return undefined
}

function readBrace(
  pattern: string,
  start: number,
): { start: number; end: number; options: readonly string[] } | undefined {
  const options: string[] = []
  let depth = 0
  let from = start + 1
  for (let at = start; at < pattern.length; at++) {
    const char = pattern[at]
    if (char === '\\') at++
    else if (char === '[') at = skipSet(pattern, at)
    else if (char === '{') depth++
    else if (char === ',' && depth === 1) {
      options.push(pattern.slice(from, at))
      from = at + 1
    } else if (char === '}' && --depth === 0) {
      options.push(pattern.slice(from, at))
      return options.length > 1 ? { start, end: at + 1, options } : undefined
    }
  }
  return undefined
}

/** The place of the `]` that closes the set, or `start` if nothing does. */
function skipSet(pattern: string, start: number): number {
  for (let at = start + 2; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++
    else if (pattern[at] === ']') return at
  }
  return start
}
