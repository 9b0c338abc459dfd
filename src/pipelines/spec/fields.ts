/** What a JSON value is called in a message. */
function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * True for values that say nothing but "as if it were not there": proto3 JSON writes defaults out. An empty object is none of them:
 * `"spout": {}` makes a spout.
 */
export function saysNothing(value: unknown): boolean {
  if (value === null || value === false || value === '' || value === 0) return true
  return Array.isArray(value) && value.length === 0
}

/** Groups of settings: empty, they set nothing. */
const settingGroups = new Set(['resource_requests', 'resource_limits', 'sidecar_resource_limits', 'datum_set_spec'])

function setsNothing(name: string, value: unknown): boolean {
  return saysNothing(value) || (settingGroups.has(name) && isObject(value) && Object.keys(value).length === 0)
}

/** The known name nearest to `name`, if one is near enough to be what was meant. */
function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = simplify(name)
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(wanted.length / 3)) + 1
  for (const candidate of known) {
    const short = simplify(candidate)
    // `command` for `cmd`: all letters are there, in order.
    const distance = short.length > 2 && isSubsequence(short, wanted) ? 1.5 : editDistance(wanted, short)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function simplify(name: string): string {
  return name
    .slice(0, 64)
    .toLowerCase()
    .replace(/[_\- ]/g, '')
}

function isSubsequence(short: string, long: string): boolean {
  let at = 0
  for (const char of long) if (char === short[at]) at++
  return at === short.length
}

/** Levenshtein. Both are at most 64 characters. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1))
    }
    previous = row
  }
  return previous[b.length]!
}

/** What is said where a field is of no use: by its name. */
export interface FieldNames {
  /** Read by the caller. */
  readonly known: readonly string[]
  /** Field → when it comes, or what to do instead. */
  readonly refused: Readonly<Record<string, string>>
}

export const LATER = 'comes in a later release'

/**
 * A reader of one JSON object that collects every problem instead of stopping at the first. Field paths are written as in
 * `transform.cmd`.
 */
export class FieldReader {
  readonly #object: Readonly<Record<string, unknown>>
  readonly #at: string
  readonly #problems: string[]

  constructor(value: unknown, at: string, problems: string[], names: FieldNames) {
    this.#at = at
    this.#problems = problems
    this.#object = isObject(value) ? value : {}
    if (!isObject(value)) {
      problems.push(`${at || 'the spec'} must be an object, not ${kindOf(value)}`)
      return
    }
    for (const [name, inner] of Object.entries(value)) {
      if (names.known.includes(name)) continue
      const refusal = Object.hasOwn(names.refused, name) ? names.refused[name] : undefined
      if (refusal !== undefined) {
        if (!setsNothing(name, inner)) problems.push(`\`${this.path(name)}\` ${refusal}`)
        continue
      }
      const near = nearestName(name, [...names.known, ...Object.keys(names.refused)])
      problems.push(
        `\`${this.path(name)}\` is not a field of a pipeline spec${near ? `; the nearest is \`${this.path(near)}\`` : ''}`,
      )
    }
  }

  path(name: string): string {
    return this.#at ? `${this.#at}.${name}` : name
  }

  problem(name: string, text: string): void {
    this.#problems.push(`\`${this.path(name)}\` ${text}`)
  }

  /** The raw value; null counts as absent. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#object, name) ? (this.#object[name] ?? undefined) : undefined
  }

  text(name: string, limit = 64 * 1024): string | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    if (typeof value !== 'string') {
      this.problem(name, `must be a string, not ${kindOf(value)}`)
      return undefined
    }
    if (value.length > limit) {
      this.problem(name, `is longer than ${limit} characters`)
      return undefined
    }
    if (value.includes('\0') || !value.isWellFormed()) {
      this.problem(name, 'holds a NUL or half a surrogate pair')
      return undefined
    }
    return value
  }

  flag(name: string): boolean {
    const value = this.raw(name)
    if (value === undefined || typeof value === 'boolean') return value === true
    this.problem(name, `must be true or false, not ${kindOf(value)}`)
    return false
  }

  integer(name: string, min: number, max: number): number | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    this.problem(name, `must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)?.slice(0, 100)}`)
    return undefined
  }

  texts(name: string, limit: { readonly items: number; readonly characters: number }): readonly string[] | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) {
      const hint = typeof value === 'string' ? `: write [${JSON.stringify(value.slice(0, 60))}]` : ''
      this.problem(name, `must be an array of strings, not ${kindOf(value)}${hint}`)
      return undefined
    }
    if (value.length > limit.items) {
      this.problem(name, `has ${value.length} items; at most ${limit.items} are allowed`)
      return undefined
    }
    for (const [index, item] of value.entries()) {
      if (typeof item !== 'string') this.problem(name, `item ${index} must be a string, not ${kindOf(item)}`)
      else if (item.length > limit.characters)
        this.problem(name, `item ${index} is longer than ${limit.characters} characters`)
      else if (item.includes('\0') || !item.isWellFormed())
        this.problem(name, `item ${index} holds a NUL or half a surrogate pair`)
    }
    return value.every((item) => typeof item === 'string') ? value : undefined
  }

  /** A map of strings. Its prototype is null, so that `__proto__` is a name like any other. */
  map(name: string, limit: { readonly items: number; readonly characters: number }): Readonly<Record<string, string>> {
    const result: Record<string, string> = Object.create(null)
    const value = this.raw(name)
    if (value === undefined) return result
    if (!isObject(value)) {
      this.problem(name, `must be an object of strings, not ${kindOf(value)}`)
      return result
    }
    const items = Object.entries(value)
    if (items.length > limit.items) this.problem(name, `has ${items.length} items; at most ${limit.items} are allowed`)
    for (const [key, item] of items.slice(0, limit.items)) {
      if (typeof item !== 'string') this.problem(`${name}.${key}`, `must be a string, not ${kindOf(item)}`)
      else if (item.length > limit.characters || key.length > 256)
        this.problem(`${name}.${key.slice(0, 256)}`, 'is too long')
      else if (/\0/.test(key + item) || !(key + item).isWellFormed())
        this.problem(`${name}.${key}`, 'holds a NUL or half a surrogate pair')
      else result[key] = item
    }
    return result
  }
}
