import { InvalidInput } from '../kernel/index.ts'

/** As much of JSON Schema as the OpenAPI document uses. */
export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly string[]
  readonly const?: string
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: boolean | JsonSchema
  readonly required?: readonly string[]
  readonly oneOf?: readonly JsonSchema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly format?: string
  readonly $ref?: string
}

/** A named value of a request: how it is read and how the OpenAPI document describes it. */
export interface Field<T> {
  readonly schema: JsonSchema
  readonly required: boolean
  /** `value` is never undefined. Throws InvalidInput (or an error of the domain) that names the field. */
  read(value: unknown, name: string): T
}

export type Fields = Readonly<Record<string, Field<unknown>>>

/** What a group of fields reads as. */
export type Read<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never }

const DEFAULT_TEXT_CHARACTERS = 4096

export function text(description: string, maxLength = DEFAULT_TEXT_CHARACTERS, minLength = 0): Field<string> {
  return {
    schema: { type: 'string', description, maxLength, ...(minLength > 0 && { minLength }) },
    required: true,
    read(value, name) {
      if (typeof value !== 'string') throw new InvalidInput(`${name} must be a text, not ${kindOf(value)}`)
      if (value.length < minLength) throw new InvalidInput(`${name} must not be empty`)
      if (value.length > maxLength) throw new InvalidInput(`${name} is longer than ${maxLength} characters`)
      return value
    },
  }
}

/** A text that `parse` turns into something narrower; `parse` throws what the caller is to see. */
export function parsed<T>(description: string, parse: (value: string) => T): Field<T> {
  const inner = text(description, DEFAULT_TEXT_CHARACTERS, 1)
  return { ...inner, read: (value, name) => parse(inner.read(value, name)) }
}

/** A whole number: as such in a body, as digits in a query. */
export function whole(description: string, minimum: number, maximum: number): Field<number> {
  return {
    schema: { type: 'integer', description, minimum, maximum },
    required: true,
    read(value, name) {
      const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
      if (typeof number === 'number' && Number.isInteger(number) && number >= minimum && number <= maximum) {
        return number
      }
      throw new InvalidInput(`${name} must be a whole number from ${minimum} to ${maximum}`)
    },
  }
}

/** A switch of a query: `true` or `false`; left out it is false. */
export function flag(description: string): Field<boolean> {
  return {
    schema: { type: 'boolean', description },
    required: false,
    read(value, name) {
      if (value === undefined || value === 'false' || value === false) return false
      if (value === 'true' || value === true) return true
      throw new InvalidInput(`${name} must be true or false`)
    },
  }
}

/** One of a few words. */
export function choice<const T extends string>(description: string, values: readonly T[]): Field<T> {
  return {
    schema: { type: 'string', description, enum: values },
    required: true,
    read(value, name) {
      const found = values.find((known) => known === value)
      if (found === undefined) throw new InvalidInput(`${name} must be one of ${values.join(', ')}`)
      return found
    },
  }
}

/** A switch of a body, with what it is where it is left out. */
export function flagOr(description: string, fallback: boolean): Field<boolean> {
  const inner = flag(description)
  return { ...inner, read: (value, name) => (value === undefined ? fallback : inner.read(value, name)) }
}

/** Any JSON, for what another floor reads. */
export function anyJson(description: string): Field<unknown> {
  return { schema: { description }, required: true, read: (value) => value }
}

export function listOf<T>(item: Field<T>, maxItems: number): Field<readonly T[]> {
  return {
    schema: { type: 'array', items: item.schema, minItems: 1, maxItems },
    required: true,
    read(value, name) {
      if (!Array.isArray(value)) throw new InvalidInput(`${name} must be a list, not ${kindOf(value)}`)
      if (value.length === 0) throw new InvalidInput(`${name} must name at least one`)
      if (value.length > maxItems) throw new InvalidInput(`${name} must name at most ${maxItems}`)
      return value.map((each: unknown, index) => item.read(each, `${name}[${index}]`))
    },
  }
}

export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    schema: field.schema,
    required: false,
    read: (value, name) => (value === undefined ? undefined : field.read(value, name)),
  }
}

/** Reads a group of fields; what is missing, malformed or unknown is refused by name. */
export function readFields<F extends Fields>(fields: F, given: ReadonlyMap<string, unknown>, where: string): Read<F> {
  for (const name of given.keys()) {
    if (Object.hasOwn(fields, name)) continue
    const known = Object.keys(fields)
    const allowed = known.length === 0 ? 'it takes none' : `it takes ${known.join(', ')}`
    throw new InvalidInput(`the ${where} has an unknown field ${JSON.stringify(name)}: ${allowed}`, { field: name })
  }
  const result: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    const value = given.get(name)
    if (value === undefined && field.required) {
      throw new InvalidInput(`the ${where} lacks the field ${name}`, { field: name })
    }
    result[name] = field.read(value, name)
  }
  return result as Read<F>
}

/** The fields of a JSON object; anything else is refused. */
export function fieldsOfJson(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInput(`the body must be a JSON object, not ${kindOf(value)}`)
  }
  return new Map(Object.entries(value))
}

/** The fields of a decoded query string. A name that comes twice is refused, since a reader could take either. */
export function fieldsOfQuery(query: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  const fields = new Map(query)
  if (fields.size === query.length) return fields
  const twice = query.find(([name], index) => query.findIndex(([other]) => other === name) !== index)
  throw new InvalidInput(`the query has ${JSON.stringify(twice?.[0])} twice`, { field: twice?.[0] })
}

/** Drops members that are undefined, for options that may be absent but not undefined. */
export function present<T extends object>(value: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries) as { [Name in keyof T]?: Exclude<T[Name], undefined> }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
